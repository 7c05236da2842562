// SPDX-License-Identifier: Apache-2.0
#include "drover/signals.h"

#include <csignal>
#include <cstring>

#include "base/strings.h"

namespace drover::sdk {

Result<int> parse_signal(std::string_view name) {
    std::string text = to_upper(name);
    if (auto number = parse_int(text); number && *number > 0 && *number < NSIG) return static_cast<int>(*number);
    if (starts_with(text, "SIG")) text.erase(0, 3);
    for (int number = 1; number < NSIG; ++number) {
        const char* known = ::sigabbrev_np(number);
        if (known && text == known) return number;
    }
    return make_error(Code::InvalidArgument, "\"{}\" is no signal", name);
}

}  // namespace drover::sdk
