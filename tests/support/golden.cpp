// SPDX-License-Identifier: Apache-2.0
// Reading, running and rewriting golden files.
#include "tests/support/golden.h"

#include <cstdlib>
#include <cstring>

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/strings.h"

namespace drover::testing {

namespace {

constexpr const char* kDashes = "----";
constexpr const char* kFence = "----8<----";
bool rewrite = false;

// A stretch of the file: text between cases, or a case.
struct Part {
    std::string text;
    bool is_case = false;
    GoldenCase golden;
};

std::string with_newline(std::string text) {
    if (!text.empty() && text.back() != '\n') text += '\n';
    return text;
}

std::vector<Part> read_parts(const std::string& path) {
    Result<std::string> content = read_file(path);
    EXPECT_TRUE(content) << (content ? "" : content.error().message());
    std::vector<Part> parts;
    if (!content) return parts;
    std::vector<std::string> lines = split(*content, '\n');
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    size_t i = 0;
    // Lines up to the given one (or the end), joined; `i` then stands behind it.
    auto until = [&](const std::string& stop) {
        std::string text;
        while (i < lines.size() && lines[i] != stop) text += lines[i++] + "\n";
        if (i < lines.size()) ++i;
        return text;
    };
    while (i < lines.size()) {
        if (lines[i].empty() || starts_with(lines[i], "#")) {
            parts.push_back({lines[i++] + "\n", false, {}});
            continue;
        }
        Part part;
        part.is_case = true;
        part.golden.place = fmt::format("{}:{}", path, i + 1);
        std::vector<std::string> words = split(lines[i++], ' ');
        part.golden.command = words[0];
        part.golden.arguments.assign(words.begin() + 1, words.end());
        part.golden.fenced = i < lines.size() && lines[i] == kFence;
        if (part.golden.fenced) ++i;
        part.golden.input = until(part.golden.fenced ? kFence : kDashes);
        part.golden.expected = until(part.golden.fenced ? kFence : "");
        parts.push_back(std::move(part));
    }
    return parts;
}

std::string written(const GoldenCase& golden, const std::string& output) {
    std::string out = golden.command;
    for (const std::string& argument : golden.arguments) out += " " + argument;
    std::string text = with_newline(output);
    bool fenced = golden.fenced || text.find("\n\n") != std::string::npos || starts_with(text, "\n");
    if (fenced && !golden.fenced)
        text += std::string(kFence) + "\n";  // the empty line behind it was the case's own
    if (fenced && !golden.fenced)
        return fmt::format("{}\n{}\n{}{}\n{}\n", out, kFence, golden.input, kFence, text);
    if (fenced) return fmt::format("{}\n{}\n{}{}\n{}{}\n", out, kFence, golden.input, kFence, text, kFence);
    return fmt::format("{}\n{}{}\n{}\n", out, golden.input, kDashes, text);
}

void run_file(const std::string& path, const GoldenFunction& function, size_t& cases) {
    std::vector<Part> parts = read_parts(path);
    std::string content;
    for (const Part& part : parts) {
        if (!part.is_case) {
            content += part.text;
            continue;
        }
        ++cases;
        std::string output = with_newline(function(part.golden));
        content += written(part.golden, output);
        if (!rewrite)
            EXPECT_EQ(part.golden.expected, output)
                << part.golden.place << ": " << part.golden.command << "\n"
                << part.golden.input;
    }
    while (content.size() > 1 && ends_with(content, "\n\n")) content.pop_back();
    if (rewrite) ASSERT_TRUE(write_file(path, content, 0644));
}

}  // namespace

void golden_init(int* argc, char** argv) {
    for (int i = 1; i < *argc; ++i) {
        if (std::strcmp(argv[i], "--rewrite") != 0) continue;
        rewrite = true;
        for (int j = i; j + 1 < *argc; ++j) argv[j] = argv[j + 1];
        --*argc;
    }
}

void run_golden_files(const std::string& directory, const GoldenFunction& function) {
    const char* source_dir = std::getenv("DROVER_SOURCE_DIR");
    std::string path = join_path(source_dir ? source_dir : ".", directory);
    const char* from_environment = std::getenv("DROVER_GOLDEN_REWRITE");
    rewrite = rewrite || (from_environment && std::strcmp(from_environment, "1") == 0);
    Result<std::vector<std::string>> names = list_dir(path);
    ASSERT_TRUE(names) << names.error().message();
    size_t cases = 0;
    for (const std::string& name : *names) {
        if (ends_with(name, ".txt")) run_file(join_path(path, name), function, cases);
    }
    EXPECT_GT(cases, 0u) << "no golden case in " << path;
}

}  // namespace drover::testing
