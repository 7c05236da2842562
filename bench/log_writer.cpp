// SPDX-License-Identifier: Apache-2.0
// log_writer BYTES WRITE_BYTES RESULT: writes lines of 100 bytes to stdout, WRITE_BYTES (rounded down to whole lines) a
// time, puts "BYTES SECONDS" into RESULT, then waits to be stopped. The task of bench/process_drivers.py.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace {

double now() {
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) {
    constexpr long kLine = 100;
    if (argc != 4) return 2;
    const long total = std::atol(argv[1]);
    const long chunk = std::max(kLine, std::atol(argv[2]) / kLine * kLine);
    std::vector<char> bytes(static_cast<size_t>(chunk));
    for (long i = 0; i < chunk; ++i)
        bytes[static_cast<size_t>(i)] = i % kLine == kLine - 1 ? '\n' : static_cast<char>('a' + i % 26);
    const double start = now();
    for (long written = 0; written < total;) {
        ssize_t n = ::write(1, bytes.data(), static_cast<size_t>(std::min(chunk, total - written)));
        if (n <= 0) return 1;
        written += n;
    }
    const double seconds = now() - start;
    FILE* result = std::fopen(argv[3], "w");
    if (!result) return 1;
    std::fprintf(result, "%ld %.6f\n", total, seconds);
    std::fclose(result);
    for (;;) ::pause();
}
