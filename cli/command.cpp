// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <unistd.h>

#include <iostream>

#include "base/files.h"
#include "base/strings.h"
#include "cli/flags.h"

namespace drover::cli {
namespace {

bool env_set(const char* name) {
    const char* value = std::getenv(name);
    return value && *value;
}

bool is_group(const Command& command) {
    return !command.run && !command.run_raw;
}

// The row whose name is the longest prefix of the words; `used` is how many words it took.
const Command* find_command(const std::vector<std::string>& argv, size_t& used) {
    const Command* best = nullptr;
    used = 0;
    for (const auto& command : commands()) {
        auto words = split(command.name, ' ');
        if (words.size() <= used || words.size() > argv.size()) continue;
        if (!std::equal(words.begin(), words.end(), argv.begin())) continue;
        best = &command;
        used = words.size();
    }
    return best;
}

const Command* resolve_alias(const Command* command) {
    if (!command || command->alias_of.empty()) return command;
    for (const auto& other : commands())
        if (other.name == command->alias_of) return &other;
    return nullptr;
}

std::string rows_text(std::vector<const Command*> rows, std::string_view drop_prefix) {
    size_t width = 0;
    for (const auto* row : rows) width = std::max(width, row->name.size() - drop_prefix.size());
    std::sort(rows.begin(), rows.end(), [](const Command* a, const Command* b) { return a->name < b->name; });
    std::string out;
    for (const auto* row : rows) {
        auto name = row->name.substr(drop_prefix.size());
        out += fmt::format("    {:<{}}    {}\n", name, width, row->synopsis);
    }
    return out;
}

std::string main_help() {
    std::vector<const Command*> common;
    std::vector<const Command*> other;
    for (const auto& command : commands()) {
        if (!command.alias_of.empty() || command.name.find(' ') != std::string_view::npos) continue;
        (command.common ? common : other).push_back(&command);
    }
    // The two verbs everybody starts with are listed under their short names.
    static const Command run{.name = "run", .synopsis = "Run a new job or update an existing job"};
    static const Command stop{.name = "stop", .synopsis = "Stop a running job"};
    common.push_back(&run);
    common.push_back(&stop);
    return fmt::format(
        "Usage: drover [-version] [-help] <command> [args]\n\nCommon commands:\n{}\nOther commands:\n{}",
        rows_text(common, ""), rows_text(other, ""));
}

std::string group_help(const Command& group) {
    auto prefix = fmt::format("{} ", group.name);
    std::vector<const Command*> rows;
    for (const auto& command : commands()) {
        if (!starts_with(command.name, prefix) || !command.alias_of.empty()) continue;
        if (command.name.substr(prefix.size()).find(' ') == std::string_view::npos) rows.push_back(&command);
    }
    auto about = std::string(group.description.empty() ? group.synopsis : group.description);
    return fmt::format("Usage: drover {} <subcommand> [options] [args]\n\n  {}\n\nSubcommands:\n{}",
                       group.name, replace_all(about, "\n", "\n  "), rows_text(rows, prefix));
}

// "Did you mean" for a word that is none of the names after `prefix`.
std::string suggestion(std::string_view word, std::string_view prefix) {
    std::vector<std::string> known;
    for (const auto& command : commands())
        if (starts_with(command.name, prefix) &&
            command.name.substr(prefix.size()).find(' ') == std::string_view::npos)
            known.emplace_back(command.name.substr(prefix.size()));
    auto close = closest(word, known);
    return close ? fmt::format("Unknown command \"{}{}\". Did you mean \"{}{}\"?\n\n", prefix, word, prefix,
                               *close)
                 : std::string();
}

bool is_help(const std::string& word) {
    return word == "-h" || word == "-help" || word == "--help";
}

int run_group(const Command& group, const std::vector<std::string>& rest, Streams& streams) {
    if (!rest.empty() && is_help(rest[0])) {
        streams.out(group_help(group));
        return kExitOk;
    }
    if (!rest.empty() && rest[0][0] != '-') streams.err(suggestion(rest[0], fmt::format("{} ", group.name)));
    streams.err(group_help(group));
    return kExitError;
}

int run_parsed(const Command& command, const std::vector<std::string>& args, Streams& streams) {
    Invocation invocation(command, streams);
    bool help = false;
    if (auto parsed = FlagParser::parse(args, invocation, help); !parsed) {
        streams.err(parsed.error().message() + "\n");
        streams.err(command_help(command));
        return command.client_error_exit;
    }
    if (help) {
        streams.out(command_help(command));
        return kExitOk;
    }
    if (command.general == General::Api) {
        if (invocation.on("no-color")) streams.colour = false;
        if (invocation.on("force-color")) streams.colour = true;
    }
    auto count = static_cast<int>(invocation.args.size());
    if (count < command.args_min || (command.args_max >= 0 && count > command.args_max)) {
        streams.error_line(command.args_error.empty() ? "This command takes no arguments"
                                                      : command.args_error);
        streams.error_line(fmt::format("For additional help try 'drover {} -help'", command.name));
        return command.client_error_exit;
    }
    return command.run(invocation);
}

}  // namespace

void Streams::line(std::string_view text) const {
    out(fmt::format("{}\n", text));
}

void Streams::error_line(std::string_view text) const {
    err(colour ? fmt::format("\033[0;31m{}\033[0m\n", text) : fmt::format("{}\n", text));
}

void Streams::warn_line(std::string_view text) const {
    err(colour ? fmt::format("\033[0;33m{}\033[0m\n", text) : fmt::format("{}\n", text));
}

std::string Streams::bold(std::string_view text) const {
    return colour ? fmt::format("\033[1m{}\033[0m", text) : std::string(text);
}

Streams process_streams() {
    Streams streams;
    streams.out = [](std::string_view text) {
        // A reader that has gone (| head) is no error worth a message; the exit status says it to scripts.
        if (!write_all(STDOUT_FILENO, text)) std::_Exit(141);
    };
    streams.err = [](std::string_view text) {
        static_cast<void>(write_all(STDERR_FILENO, text).has_value());
    };
    streams.in = &std::cin;
    streams.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
    streams.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
    const char* terminal = std::getenv("TERM");
    bool dumb = terminal && std::string_view(terminal) == "dumb";
    streams.colour = streams.out_is_terminal && !dumb && !env_set("NO_COLOR");
    if (env_set("NOMAD_CLI_NO_COLOR") || env_set("DROVER_CLI_NO_COLOR")) streams.colour = false;
    if (env_set("NOMAD_CLI_FORCE_COLOR") || env_set("DROVER_CLI_FORCE_COLOR")) streams.colour = true;
    return streams;
}

int run_command_line(const std::vector<std::string>& argv, Streams& streams) {
    if (argv.size() == 1 && (argv[0] == "-v" || argv[0] == "-version" || argv[0] == "--version"))
        return run_command_line({"version"}, streams);
    size_t used = 0;
    const auto* command = resolve_alias(find_command(argv, used));
    if (!command) {
        constexpr int kUnknownCommand = 127;
        bool asked = argv.size() == 1 && is_help(argv[0]);
        if (!asked && !argv.empty() && argv[0][0] != '-') streams.err(suggestion(argv[0], ""));
        (asked ? streams.out : streams.err)(main_help());
        return asked ? kExitOk : kUnknownCommand;
    }
    std::vector<std::string> rest(argv.begin() + static_cast<ptrdiff_t>(used), argv.end());
    if (command->run_raw) return command->run_raw(rest, streams);
    if (is_group(*command)) return run_group(*command, rest, streams);
    return run_parsed(*command, rest, streams);
}

}  // namespace drover::cli
