// SPDX-License-Identifier: Apache-2.0
#include "cli/diff_text.h"

#include "cli/format.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

// How a kind of change is marked, and how wide the mark is on the screen.
struct Mark {
    std::string_view text;
    std::string_view colour;
    size_t width() const { return text.size(); }
};

Mark mark_of(std::string_view type) {
    if (type == "Added") return {"+ ", "\033[32m"};
    if (type == "Deleted") return {"- ", "\033[31m"};
    if (type == "Edited") return {"+/- ", "\033[93m"};
    return {"", ""};
}

// Keys and marks of siblings are aligned to the longest among them.
struct Widths {
    size_t mark = 0;
    size_t name = 0;

    template <class Items>
    void marks(const Items& items) {
        for (const auto& item : items) mark = std::max(mark, mark_of(item.type()).width());
    }
    template <class Fields>
    void fields(const Fields& items) {
        for (const auto& item : items) name = std::max(name, item.name().size());
        marks(items);
    }
};

class Writer {
 public:
    explicit Writer(const DiffOptions& options) : options_(options) {}

    std::string job(const model::JobDiff& diff);

 private:
    std::string paint(std::string_view text, std::string_view colour) const {
        return options_.colour && !colour.empty() ? fmt::format("{}{}\033[0m", colour, text)
                                                  : std::string(text);
    }
    std::string mark(std::string_view type) const {
        auto m = mark_of(type);
        return paint(m.text, m.colour);
    }
    std::string bold(std::string_view text) const { return paint(text, "\033[1m"); }
    template <class List>
    std::string annotations(const List& list) const;
    std::string group(const model::TaskGroupDiff& diff, size_t indent);
    std::string task(const model::TaskDiff& diff, size_t start, size_t indent);
    std::string object(const model::ObjectDiff& diff, size_t start, size_t indent);
    std::string field(const model::FieldDiff& diff, size_t start, size_t indent, size_t value_indent);
    template <class Diff>
    std::string inside(const Diff& diff, size_t start, const Widths& widths);

    const DiffOptions& options_;
};

std::string spaces(size_t count) {
    return std::string(count, ' ');
}

std::string_view update_colour(std::string_view kind) {
    if (kind.find("create/destroy") != std::string_view::npos) return "\033[33m";
    if (kind.find("in-place") != std::string_view::npos) return "\033[36m";
    if (kind.find("create") != std::string_view::npos) return "\033[32m";
    if (kind.find("destroy") != std::string_view::npos) return "\033[31m";
    if (kind == "migrate") return "\033[34m";
    if (kind == "canary") return "\033[93m";
    return "";
}

template <class List>
std::string Writer::annotations(const List& list) const {
    std::string out;
    for (const auto& text : list) out += (out.empty() ? "" : ", ") + paint(text, update_colour(text));
    return out;
}

// The fields, then the blocks of one level, a line each, without a newline at the end.
template <class Diff>
std::string Writer::inside(const Diff& diff, size_t start, const Widths& widths) {
    std::string out;
    for (const auto& item : diff.fields()) {
        if (!out.empty()) out += '\n';
        out +=
            field(item, start, widths.mark - mark_of(item.type()).width(), widths.name - item.name().size());
    }
    for (const auto& item : diff.objects()) {
        if (!out.empty()) out += '\n';
        out += object(item, start, widths.mark - mark_of(item.type()).width());
    }
    return out;
}

std::string Writer::field(const model::FieldDiff& diff, size_t start, size_t indent, size_t value_indent) {
    auto out = fmt::format("{}{}{}{}: {}", spaces(start), mark(diff.type()), spaces(indent), diff.name(),
                           spaces(value_indent));
    if (diff.type() == "Deleted")
        out += quoted(diff.old());
    else if (diff.type() == "Edited")
        out += fmt::format("{} => {}", quoted(diff.old()), quoted(diff.new_()));
    else
        out += quoted(diff.new_());
    if (!diff.annotations().empty()) out += fmt::format(" ({})", annotations(diff.annotations()));
    return out;
}

std::string Writer::object(const model::ObjectDiff& diff, size_t start, size_t indent) {
    Widths widths;
    widths.fields(diff.fields());
    widths.marks(diff.objects());
    auto body = inside(diff, start + indent + 2, widths);
    return fmt::format("{}{}{}{} {{\n{}\n{}}}", spaces(start), mark(diff.type()), spaces(indent), diff.name(),
                       body, spaces(start + mark_of(diff.type()).width() + indent));
}

std::string Writer::task(const model::TaskDiff& diff, size_t start, size_t indent) {
    auto out = fmt::format("{}{}{}{}", spaces(start), mark(diff.type()), spaces(indent),
                           bold(fmt::format("Task: {}", quoted(diff.name()))));
    if (!diff.annotations().empty()) out += fmt::format(" ({})", annotations(diff.annotations()));
    bool whole = diff.type() == "Added" || diff.type() == "Deleted";
    if (diff.type() == "None" || (whole && !options_.verbose)) return out;
    Widths widths;
    widths.fields(diff.fields());
    widths.marks(diff.objects());
    return out + "\n" + inside(diff, start + 2, widths);
}

std::string Writer::group(const model::TaskGroupDiff& diff, size_t indent) {
    auto out = fmt::format("{}{}{}", mark(diff.type()), spaces(indent),
                           bold(fmt::format("Task Group: {}", quoted(diff.name()))));
    std::map<std::string, uint64_t> updates(diff.updates().begin(), diff.updates().end());
    std::string counts;
    for (const auto& [kind, count] : updates)
        counts +=
            (counts.empty() ? "" : ", ") + paint(fmt::format("{} {}", count, kind), update_colour(kind));
    if (!counts.empty()) out += fmt::format(" ({})", counts);
    out += '\n';
    Widths widths;
    widths.fields(diff.fields());
    widths.marks(diff.objects());
    widths.marks(diff.tasks());
    size_t start = indent + 2;
    if (diff.type() == "Edited" || options_.verbose) {
        auto body = inside(diff, start, widths);
        if (!body.empty()) out += body + "\n";
    }
    for (const auto& item : diff.tasks())
        out += task(item, start, widths.mark - mark_of(item.type()).width()) + "\n";
    return out;
}

std::string Writer::job(const model::JobDiff& diff) {
    auto out = mark(diff.type()) + bold(fmt::format("Job: {}", quoted(diff.id()))) + "\n";
    Widths widths;
    widths.fields(diff.fields());
    widths.marks(diff.objects());
    widths.marks(diff.task_groups());
    if (diff.type() == "Edited" || options_.verbose) {
        auto body = inside(diff, 0, widths);
        if (!body.empty()) out += body + "\n";
    }
    for (const auto& item : diff.task_groups())
        out += group(item, widths.mark - mark_of(item.type()).width()) + "\n";
    return out;
}

}  // namespace

std::string diff_text(const model::JobDiff& diff, const DiffOptions& options) {
    auto text = Writer(options).job(diff);
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
}

}  // namespace drover::cli
