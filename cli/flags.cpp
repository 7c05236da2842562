// SPDX-License-Identifier: Apache-2.0
#include "cli/flags.h"

#include "api/request.h"
#include "base/clock.h"
#include "base/strings.h"

namespace drover::cli {
namespace {

const Flag* find_flag(const Command& command, std::string_view name) {
    for (const auto& flag : command.flags)
        if (flag.name == name) return &flag;
    if (command.general == General::Api)
        for (const auto& flag : general_flags())
            if (flag.name == name) return &flag;
    return nullptr;
}

Status check_value(const Flag& flag, const std::string& value) {
    auto invalid = [&](std::string_view why) {
        return make_error(Code::InvalidArgument, "invalid value \"{}\" for flag -{}: {}", value, flag.name,
                          why);
    };
    switch (flag.kind) {
        case FlagKind::Bool:
            if (!api::parse_bool(value))
                return make_error(Code::InvalidArgument, "invalid boolean value \"{}\" for -{}: parse error",
                                  value, flag.name);
            break;
        case FlagKind::Int:
            if (!parse_int(value)) return invalid("parse error");
            break;
        case FlagKind::Duration:
            if (!parse_duration(value)) return invalid("parse error");
            break;
        case FlagKind::Map:
            if (value.find('=') == std::string::npos) return invalid("key=value is expected");
            break;
        case FlagKind::Text:
        case FlagKind::List:
            break;
    }
    return {};
}

std::string wrap(std::string_view text, size_t indent) {
    constexpr size_t kWidth = 90;
    std::string out;
    for (const auto& paragraph : split(text, '\n')) {
        std::string line;
        for (const auto& word : split(paragraph, ' ')) {
            if (!line.empty() && indent + line.size() + 1 + word.size() > kWidth) {
                out += std::string(indent, ' ') + line + "\n";
                line.clear();
            }
            if (!line.empty()) line += ' ';
            line += word;
        }
        out += line.empty() ? "\n" : std::string(indent, ' ') + line + "\n";
    }
    return out;
}

std::string flags_help(const std::vector<Flag>& flags) {
    std::vector<const Flag*> sorted;
    for (const auto& flag : flags) sorted.push_back(&flag);
    std::sort(sorted.begin(), sorted.end(), [](const Flag* a, const Flag* b) { return a->name < b->name; });
    std::string out;
    for (const auto* flag : sorted) {
        std::string_view value;
        switch (flag->kind) {
            case FlagKind::Bool:
                break;
            case FlagKind::Int:
                value = " <number>";
                break;
            case FlagKind::Duration:
                value = " <duration>";
                break;
            case FlagKind::Map:
                value = " <key=value>";
                break;
            case FlagKind::Text:
            case FlagKind::List:
                value = " <value>";
                break;
        }
        out += fmt::format("\n  -{}{}\n{}", flag->name, value, wrap(flag->help, 4));
    }
    return out;
}

}  // namespace

const std::vector<Flag>& general_flags() {
    static const std::vector<Flag> flags = {
        {"address", FlagKind::Text,
         "The address of the agent: http://host:port or unix:///path. Overrides DROVER_ADDR and "
         "NOMAD_ADDR. Default: http://127.0.0.1:4646."},
        {"region", FlagKind::Text,
         "The region to ask. Overrides DROVER_REGION and NOMAD_REGION; default: the agent's own."},
        {"namespace", FlagKind::Text,
         "The namespace of jobs and allocations; \"*\" for all where lists are shown. Overrides "
         "DROVER_NAMESPACE and NOMAD_NAMESPACE. Default: \"default\"."},
        {"token", FlagKind::Text,
         "The secret of the ACL token to use. Overrides DROVER_TOKEN and NOMAD_TOKEN."},
        {"no-color", FlagKind::Bool, "No colours, also on a terminal. NOMAD_CLI_NO_COLOR does the same."},
        {"force-color", FlagKind::Bool,
         "Colours, also when the output is no terminal. NOMAD_CLI_FORCE_COLOR does the same."},
    };
    return flags;
}

Status FlagParser::parse(const std::vector<std::string>& args, Invocation& invocation, bool& help) {
    size_t at = 0;
    for (; at < args.size(); ++at) {
        const auto& arg = args[at];
        if (arg.size() < 2 || arg[0] != '-') break;
        if (arg == "--") {
            ++at;
            break;
        }
        auto body = std::string_view(arg).substr(arg[1] == '-' ? 2 : 1);
        auto equals = body.find('=');
        auto name = body.substr(0, equals);
        if (name.empty() || name[0] == '-')
            return make_error(Code::InvalidArgument, "bad flag syntax: {}", arg);
        const auto* flag = find_flag(invocation.command_, name);
        if (!flag && (name == "h" || name == "help")) {
            help = true;
            return {};
        }
        if (!flag) return make_error(Code::InvalidArgument, "flag provided but not defined: -{}", name);
        std::string value;
        if (equals != std::string_view::npos)
            value = std::string(body.substr(equals + 1));
        else if (flag->kind == FlagKind::Bool)
            value = "true";
        else if (at + 1 < args.size())
            value = args[++at];
        else
            return make_error(Code::InvalidArgument, "flag needs an argument: -{}", name);
        DROVER_CHECK(check_value(*flag, value));
        auto& values = invocation.values_[std::string(name)];
        bool many = flag->kind == FlagKind::List || flag->kind == FlagKind::Map;
        if (!many) values.clear();
        values.push_back(std::move(value));
    }
    invocation.args.assign(args.begin() + static_cast<ptrdiff_t>(at), args.end());
    return {};
}

bool Invocation::given(std::string_view flag) const {
    DROVER_ASSERT(find_flag(command_, flag) != nullptr);
    return values_.find(flag) != values_.end();
}

std::string Invocation::text(std::string_view flag) const {
    const auto* declared = find_flag(command_, flag);
    DROVER_ASSERT(declared != nullptr);
    auto it = values_.find(flag);
    return it == values_.end() ? std::string(declared->default_value) : it->second.back();
}

bool Invocation::on(std::string_view flag) const {
    return api::parse_bool(text(flag)).value_or(false);
}

int64_t Invocation::number(std::string_view flag) const {
    auto value = text(flag);
    if (value.empty()) return 0;
    if (find_flag(command_, flag)->kind == FlagKind::Duration) return parse_duration(value).value_or(0);
    return parse_int(value).value_or(0);
}

std::vector<std::string> Invocation::list(std::string_view flag) const {
    DROVER_ASSERT(find_flag(command_, flag) != nullptr);
    auto it = values_.find(flag);
    return it == values_.end() ? std::vector<std::string>() : it->second;
}

std::string command_help(const Command& command) {
    auto out = fmt::format("Usage: drover {}{}{}\n\n", command.name, command.usage.empty() ? "" : " ",
                           command.usage);
    out += wrap(command.description.empty() ? command.synopsis : command.description, 2);
    if (command.general == General::Api) out += "\nGeneral Options:\n" + flags_help(general_flags());
    if (!command.flags.empty()) {
        auto words = split(command.name, ' ');
        for (auto& word : words)
            word[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(word[0])));
        out += fmt::format("\n{} Options:\n{}", join(words, " "), flags_help(command.flags));
    }
    return out;
}

}  // namespace drover::cli
