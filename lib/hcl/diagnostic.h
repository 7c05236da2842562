// SPDX-License-Identifier: Apache-2.0
// Positions, ranges and diagnostics: what parsing and evaluating say about the text they were given.
// Used by everyone who reads HCL. Errors of HCL are values of this type, never Result and never exceptions.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drover::hcl {

struct Pos {
    size_t line = 1;    // from 1
    size_t column = 1;  // from 1, in user-perceived characters
    size_t byte = 0;    // from 0
    friend bool operator==(const Pos&, const Pos&) = default;
};

// [start, end) in one file.
struct Range {
    std::string filename;
    Pos start;
    Pos end;

    // `job.hcl:3,5-12`, `job.hcl:3,5-4,1` when it spans lines, `job.hcl:3,5` when empty.
    std::string text() const;
    // The smallest range holding both.
    static Range between(const Range& first, const Range& last);
    Range at_start() const { return {filename, start, start}; }
    Range at_end() const { return {filename, end, end}; }
    friend bool operator==(const Range&, const Range&) = default;
};

enum class Severity { Error, Warning };

struct Diagnostic {
    Severity severity = Severity::Error;
    std::string summary;           // short, no full stop
    std::string detail;            // whole sentences
    std::optional<Range> subject;  // what is wrong
    std::optional<Range> context;  // what to show around it

    // `<file>:<line>,<col>[-[line,]col]: <summary>; <detail>`, one line (unless the detail has several).
    std::string text() const;
    // The same with the source lines and a marker under the subject, for a terminal:
    //   Error: Unsupported argument
    //
    //     on job.hcl line 3, in block "task":   (the block part only when known)
    //      3:   comand = "x"
    //           ~~~~~~
    //
    //   An argument named ...
    // `source` is the whole text of subject->filename (empty: no excerpt).
    std::string terminal_text(std::string_view source) const;
};

class Diagnostics {
 public:
    void add(Diagnostic diagnostic);
    void error(std::string summary, std::string detail, Range subject);
    void error(std::string summary, std::string detail, Range subject, Range context);
    void warning(std::string summary, std::string detail, Range subject);
    void append(Diagnostics other);

    bool has_errors() const { return errors_ > 0; }
    size_t error_count() const { return errors_; }
    bool empty() const { return all_.empty(); }
    size_t size() const { return all_.size(); }
    const std::vector<Diagnostic>& all() const { return all_; }
    const Diagnostic& operator[](size_t i) const { return all_[i]; }
    auto begin() const { return all_.begin(); }
    auto end() const { return all_.end(); }

    // All of them, one per line, no newline at the end.
    std::string text() const;
    // `first, and 3 other diagnostic(s)`.
    std::string short_text() const;
    // Ok, or InvalidArgument with text().
    Status status() const;

 private:
    std::vector<Diagnostic> all_;
    size_t errors_ = 0;
};

}  // namespace drover::hcl
