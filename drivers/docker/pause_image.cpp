// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/pause_image.h"

#include <cstring>
#include <string_view>

#include <fmt/format.h>

asm(".section .rodata\n"
    "drover_pause_begin:\n"
    ".incbin \"" DROVER_PAUSE_FILE
    "\"\n"
    "drover_pause_end:\n"
    ".previous\n");
extern "C" const char drover_pause_begin[] __attribute__((visibility("hidden")));
extern "C" const char drover_pause_end[] __attribute__((visibility("hidden")));

namespace drover::drivers {

// One file and the two empty blocks that end an archive (POSIX ustar).
std::string pause_image_tar() {
    const std::string_view program(drover_pause_begin,
                                   static_cast<size_t>(drover_pause_end - drover_pause_begin));
    constexpr size_t kBlock = 512;
    std::string head(kBlock, '\0');
    auto put = [&](size_t at, std::string_view text) { head.replace(at, text.size(), text); };
    put(0, "pause");
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, fmt::format("{:011o}", program.size()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, std::string_view("ustar\0"
                              "00",
                              8));
    unsigned sum = 0;
    for (char c : head) sum += static_cast<unsigned char>(c);
    put(148, fmt::format("{:06o}", sum));
    head[154] = '\0';
    std::string tar = head + std::string(program);
    tar.append((kBlock - program.size() % kBlock) % kBlock + 2 * kBlock, '\0');
    return tar;
}

}  // namespace drover::drivers
