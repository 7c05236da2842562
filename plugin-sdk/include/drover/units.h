// SPDX-License-Identifier: Apache-2.0
// Units of attributes, spelled as hosts know them: a job's constraint on a device's attribute compares "16 GiB" with
// "81559 MiB" by them. Any other spelling makes a host refuse a device plugin's whole fingerprint.
//   attributes["memory"] = with_unit(81559, unit::kMiB);
// Driver plugins' attributes become text, and may have any unit.
#pragma once
#include <concepts>
#include <string>
#include <string_view>
#include <utility>

#include "drover/types.h"

namespace drover::sdk {

namespace unit {
inline constexpr char kKiB[] = "KiB", kMiB[] = "MiB", kGiB[] = "GiB", kTiB[] = "TiB", kPiB[] = "PiB", kEiB[] = "EiB";
inline constexpr char kKB[] = "kB", kMB[] = "MB", kGB[] = "GB", kTB[] = "TB", kPB[] = "PB", kEB[] = "EB";
inline constexpr char kMiBPerSecond[] = "MiB/s", kGiBPerSecond[] = "GiB/s", kMBPerSecond[] = "MB/s",
                      kGBPerSecond[] = "GB/s";
inline constexpr char kMHz[] = "MHz", kGHz[] = "GHz";
inline constexpr char kMilliwatt[] = "mW", kWatt[] = "W", kKilowatt[] = "kW", kMegawatt[] = "MW", kGigawatt[] = "GW";

bool known(std::string_view text);
}  // namespace unit

template <std::integral I>
Attribute with_unit(I number, std::string unit) {
    return {static_cast<int64_t>(number), std::move(unit)};
}
inline Attribute with_unit(double number, std::string unit) { return {number, std::move(unit)}; }

}  // namespace drover::sdk
