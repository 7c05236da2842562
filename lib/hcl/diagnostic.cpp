// SPDX-License-Identifier: Apache-2.0
// Texts of ranges and diagnostics. Called by whoever prints them; never writes anywhere itself.
#include "hcl/diagnostic.h"

#include <algorithm>

#include <fmt/format.h>

#include "hcl/limits.h"

namespace drover::hcl {

std::string Range::text() const {
    std::string out = fmt::format("{}:{},{}", filename, start.line, start.column);
    if (start.line != end.line) return out + fmt::format("-{},{}", end.line, end.column);
    if (start.column != end.column) return out + fmt::format("-{}", end.column);
    return out;
}

Range Range::between(const Range& first, const Range& last) {
    Range out = first;
    if (last.start.byte < out.start.byte) out.start = last.start;
    if (last.end.byte > out.end.byte) out.end = last.end;
    return out;
}

std::string Diagnostic::text() const {
    std::string said = summary;
    if (!detail.empty()) said += "; " + detail;
    return subject ? subject->text() + ": " + said : said;
}

namespace {

std::vector<std::string_view> lines_of(std::string_view source) {
    std::vector<std::string_view> lines;
    while (true) {
        size_t end = source.find('\n');
        std::string_view line = source.substr(0, end);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        lines.push_back(line);
        if (end == std::string_view::npos) return lines;
        source.remove_prefix(end + 1);
    }
}

// The line of marks under the part of `line` between two columns; tabs stay tabs so that the marks stand
// right.
std::string marks_under(std::string_view line, size_t from_column, size_t to_column) {
    std::string marks;
    size_t column = 1;
    for (size_t i = 0; i < line.size() && column < to_column; ++i) {
        if ((static_cast<unsigned char>(line[i]) & 0xC0) == 0x80) continue;
        if (column < from_column)
            marks += line[i] == '\t' ? '\t' : ' ';
        else
            marks += '^';
        ++column;
    }
    for (; column < from_column; ++column) marks += ' ';
    if (marks.empty() || marks.back() != '^') marks += '^';
    return marks;
}

}  // namespace

std::string Diagnostic::terminal_text(std::string_view source) const {
    std::string out = fmt::format("{}: {}\n", severity == Severity::Error ? "Error" : "Warning", summary);
    if (subject) {
        out += fmt::format("\n  on {} line {}:\n", subject->filename, subject->start.line);
        std::vector<std::string_view> lines = lines_of(source);
        size_t first = subject->start.line;
        size_t last = std::min(std::max(subject->end.line, first), first + 3);
        if (subject->end.line > first && subject->end.column <= 1)
            last = std::min(last, subject->end.line - 1);
        size_t width = std::to_string(last).size();
        for (size_t number = first; !source.empty() && number <= last && number <= lines.size(); ++number) {
            std::string_view line = lines[number - 1];
            out += fmt::format("  {:>{}}: {}\n", number, width, line);
            if (first == last) {
                size_t to = subject->end.line == first ? subject->end.column : line.size() + 1;
                out += fmt::format("  {:>{}}  {}\n", "", width, marks_under(line, subject->start.column, to));
            }
        }
    }
    if (!detail.empty()) out += fmt::format("\n{}\n", detail);
    return out;
}

void Diagnostics::add(Diagnostic diagnostic) {
    if (all_.size() >= kDiagnosticsMax) {
        // The text is dropped, the fact that there was an error is not.
        if (diagnostic.severity == Severity::Error) ++errors_;
        return;
    }
    if (diagnostic.severity == Severity::Error) ++errors_;
    all_.push_back(std::move(diagnostic));
}

void Diagnostics::error(std::string summary, std::string detail, Range subject) {
    add({Severity::Error, std::move(summary), std::move(detail), std::move(subject), std::nullopt});
}

void Diagnostics::error(std::string summary, std::string detail, Range subject, Range context) {
    add({Severity::Error, std::move(summary), std::move(detail), std::move(subject), std::move(context)});
}

void Diagnostics::warning(std::string summary, std::string detail, Range subject) {
    add({Severity::Warning, std::move(summary), std::move(detail), std::move(subject), std::nullopt});
}

void Diagnostics::append(Diagnostics other) {
    for (Diagnostic& diagnostic : other.all_) add(std::move(diagnostic));
}

std::string Diagnostics::text() const {
    std::string out;
    for (const Diagnostic& diagnostic : all_) {
        if (!out.empty()) out += '\n';
        out += diagnostic.text();
    }
    return out;
}

std::string Diagnostics::short_text() const {
    if (all_.empty()) return "";
    if (all_.size() == 1) return all_.front().text();
    return fmt::format("{}, and {} other diagnostic(s)", all_.front().text(), all_.size() - 1);
}

Status Diagnostics::status() const {
    if (!has_errors()) return {};
    std::string out;
    for (const Diagnostic& diagnostic : all_) {
        if (diagnostic.severity != Severity::Error) continue;
        if (!out.empty()) out += '\n';
        out += diagnostic.text();
    }
    return Error(Code::InvalidArgument, std::move(out));
}

}  // namespace drover::hcl
