// SPDX-License-Identifier: Apache-2.0
// Flags as Go reads them, columns as people see them, and what main does with words it does not know.
#include "cli/flags.h"

#include <gtest/gtest.h>

#include "cli/format.h"
#include "cli/frames.h"
#include "cli/go_template.h"
#include "cli/testing/console.h"
#include "model/json/json.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

using testing::Console;

const Command kProbe{.name = "probe",
                     .synopsis = "A probe",
                     .usage = "[options] <x>",
                     .flags = {{"verbose", FlagKind::Bool, "More."},
                               {"n", FlagKind::Int, "A number."},
                               {"wait", FlagKind::Duration, "How long.", "1h"},
                               {"diff", FlagKind::Bool, "On unless told.", "true"},
                               {"var", FlagKind::List, "Several."}},
                     .args_max = -1};

struct Parsed {
    Console console;
    Invocation in{kProbe, console.streams};
    bool help = false;
    Status status;

    explicit Parsed(std::vector<std::string> args) { status = FlagParser::parse(args, in, help); }
};

TEST(Flags, AllSpellings) {
    Parsed p(
        {"-verbose", "-n", "3", "--wait=90s", "-var", "a=1", "-var=b=2", "-address=http://x", "web", "-n"});
    ASSERT_TRUE(p.status) << p.status.error().message();
    EXPECT_TRUE(p.in.on("verbose"));
    EXPECT_EQ(p.in.number("n"), 3);
    EXPECT_EQ(p.in.number("wait"), 90 * kSecond);
    EXPECT_EQ(p.in.list("var"), (std::vector<std::string>{"a=1", "b=2"}));
    EXPECT_EQ(p.in.text("address"), "http://x");
    EXPECT_EQ(p.in.args, (std::vector<std::string>{"web", "-n"}));  // flags end at the first argument
}

TEST(Flags, Defaults) {
    Parsed p({"-diff=false", "--", "-x"});
    ASSERT_TRUE(p.status);
    EXPECT_FALSE(p.in.on("diff"));
    EXPECT_FALSE(p.in.on("verbose"));
    EXPECT_EQ(p.in.number("wait"), kHour);
    EXPECT_FALSE(p.in.given("wait"));
    EXPECT_EQ(p.in.args, (std::vector<std::string>{"-x"}));
    EXPECT_TRUE(Parsed({}).in.on("diff"));
    EXPECT_EQ(Parsed({"-"}).in.args, (std::vector<std::string>{"-"}));  // standard input, not a flag
}

TEST(Flags, ErrorsAreGos) {
    auto text = [](std::vector<std::string> args) {
        return Parsed(std::move(args)).status.error().message();
    };
    EXPECT_EQ(text({"-bogus"}), "flag provided but not defined: -bogus");
    EXPECT_EQ(text({"--bogus=1"}), "flag provided but not defined: -bogus");
    EXPECT_EQ(text({"-n"}), "flag needs an argument: -n");
    EXPECT_EQ(text({"-n", "x"}), "invalid value \"x\" for flag -n: parse error");
    EXPECT_EQ(text({"-verbose=maybe"}), "invalid boolean value \"maybe\" for -verbose: parse error");
    EXPECT_EQ(text({"---x"}), "bad flag syntax: ---x");
    EXPECT_EQ(text({"-=x"}), "bad flag syntax: -=x");
}

TEST(Table, LinesUp) {
    EXPECT_EQ(table({{"ID", "Name"}, {"a", "long name"}, {"bcd", ""}}),
              "ID   Name\na    long name\nbcd  <none>");
    EXPECT_EQ(table({{"CPU", "Addresses"}, {"1 MHz", ""}}, Empty::Keep), "CPU    Addresses\n1 MHz  ");
    EXPECT_EQ(table({{"µs", "x"}, {"abc", "y"}}), "µs   x\nabc  y");
    EXPECT_EQ(key_values({{"ID", "7"}, {"Longer", ""}}), "ID     = 7\nLonger = <none>");
}

TEST(Format, Times) {
    constexpr int64_t kNow = 1'795'248'319 * kSecond;
    EXPECT_EQ(relative_time(kNow - 26 * kSecond, kNow), "26s ago");
    EXPECT_EQ(relative_time(kNow - 65 * kMinute, kNow), "1h5m ago");
    EXPECT_EQ(relative_time(kNow - kHour, kNow), "1h ago");
    EXPECT_EQ(relative_time(kNow - 50 * kHour - kMinute, kNow), "2d2h ago");
    EXPECT_EQ(relative_time(kNow + 3 * kSecond, kNow), "3s from now");
    EXPECT_EQ(relative_time(kNow, kNow), "0s ago");
    EXPECT_EQ(relative_time(0, kNow), "");
    EXPECT_EQ(format_time(kNow), "2026-11-21T08:05:19Z");
    EXPECT_EQ(format_time(0), "N/A");
}

TEST(Format, Sizes) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(278), "278 B");
    EXPECT_EQ(format_bytes(4096), "4.0 KiB");
    EXPECT_EQ(format_bytes(3'565'158), "3.4 MiB");
    EXPECT_EQ(format_bytes(64u << 20), "64 MiB");
    EXPECT_EQ(format_bytes(25'276'518'400), "24 GiB");
}

TEST(Frames, SplitsObjectsWhereverTheyAreCut) {
    std::string stream =
        R"({"Data":"aGk=","File":"a}{","Offset":2}{}{"Data":"IQ==","File":"a\"","Offset":3})";
    for (size_t step = 1; step < stream.size(); ++step) {
        std::string seen;
        FrameReader reader([&](const model::StreamFrame& frame) {
            seen += frame.data();
            return true;
        });
        for (size_t at = 0; at < stream.size(); at += step)
            ASSERT_TRUE(reader.feed(std::string_view(stream).substr(at, step)));
        EXPECT_EQ(seen, "hi!") << step;
        EXPECT_TRUE(reader.finish());
    }
}

TEST(Frames, TextInPlaceOfAFrameIsTheServersError) {
    FrameReader reader([](const model::StreamFrame&) { return true; });
    reader.feed(R"({"Data":"aGk="})");
    reader.feed("no such ");
    reader.feed("file\n");
    EXPECT_EQ(reader.finish().error().message(), "no such file");
}

std::string rendered(std::string_view text, std::string_view json) {
    auto value = model::json::parse_value(json);
    auto out = render_template(text, *value);
    return out ? *out : "error: " + out.error().message();
}

TEST(GoTemplate, FieldsRangesAndConditions) {
    constexpr std::string_view kJobs =
        R"([{"ID":"web","N":{"Count":2},"Up":true},{"ID":"big","N":{"Count":0},"Up":false}])";
    EXPECT_EQ(rendered("{{range .}}{{.ID}}={{.N.Count}} {{end}}", kJobs), "web=2 big=0 ");
    EXPECT_EQ(rendered("{{range .}}{{if .Up}}{{.ID}}{{else}}no{{end}},{{end}}", kJobs), "web,no,");
    EXPECT_EQ(rendered("{{ len . }} {{ (index . 1).ID }} {{ index . 0 | json }}", R"([1,{"ID":"x"}])"),
              "2 x 1");
    EXPECT_EQ(rendered("a {{- /* gone */ -}} b {{- 1 }}", "{}"), "ab1");
    EXPECT_EQ(rendered("{{range .}}x{{else}}none{{end}}", "[]"), "none");
    EXPECT_EQ(rendered(R"({{with .A}}{{printf "%s-%d" .B 7}}{{end}}{{$.C}})", R"({"A":{"B":"b"},"C":1.5})"),
              "b-71.5");
    EXPECT_EQ(rendered("{{if eq .A \"x\"}}1{{else if .B}}2{{end}}", R"({"A":"y","B":1})"), "2");
    EXPECT_EQ(rendered("{{.A}} {{.M}} {{.L}}", R"({"A":null,"M":{"k":"v"},"L":[1,"a"]})"),
              "<nil> map[k:v] [1 a]");
}

TEST(GoTemplate, MistakesAreErrors) {
    EXPECT_NE(rendered("{{.Job.Name}}", "[]").find("can't evaluate field Job in a list"), std::string::npos);
    EXPECT_NE(rendered("{{range .}}", "[]").find("{{end}} is missing"), std::string::npos);
    EXPECT_NE(rendered("{{end}}", "[]").find("unexpected {{end}}"), std::string::npos);
    EXPECT_NE(rendered("{{ .A", "{}").find("unclosed action"), std::string::npos);
    EXPECT_NE(rendered("{{ nosuch . }}", "{}").find("not defined"), std::string::npos);
    EXPECT_NE(rendered("{{ index . 9 }}", "[1]").find("out of range"), std::string::npos);
    std::string deep;
    for (int i = 0; i < 1000; ++i) deep += "{{if .}}";
    EXPECT_NE(rendered(deep, "true").find("nested too deeply"), std::string::npos);
}

TEST(CommandLine, UnknownWords) {
    Console console;
    EXPECT_EQ(run_command_line({"bogus"}, console.streams), 127);
    EXPECT_NE(console.err.find("Usage: drover [-version] [-help] <command> [args]"), std::string::npos);
    EXPECT_NE(console.err.find("Common commands:"), std::string::npos);
    Console typo;
    EXPECT_EQ(run_command_line({"jbo"}, typo.streams), 127);
    EXPECT_NE(typo.err.find("Did you mean \"job\"?"), std::string::npos);
    Console group;
    EXPECT_EQ(run_command_line({"job", "statsu", "web"}, group.streams), 1);
    EXPECT_NE(group.err.find("Did you mean \"job status\"?"), std::string::npos);
    EXPECT_NE(group.err.find("Usage: drover job <subcommand> [options] [args]"), std::string::npos);
    Console flag;
    EXPECT_EQ(run_command_line({"job", "run", "-bogus", "x.hcl"}, flag.streams), 1);
    EXPECT_EQ(flag.err.find("flag provided but not defined: -bogus\nUsage: drover job run"), 0u);
    Console plan;
    EXPECT_EQ(run_command_line({"job", "plan", "-bogus"}, plan.streams), 255);
    Console count;
    EXPECT_EQ(run_command_line({"job", "run"}, count.streams), 1);
    EXPECT_EQ(count.err,
              "This command takes one argument: <path>\nFor additional help try 'drover job run -help'\n");
}

// Every row can say how it is used, and its name and its group exist.
TEST(CommandLine, EveryCommandHasHelp) {
    for (const auto& command : commands()) {
        if (!command.alias_of.empty() || command.run_raw) continue;
        for (const char* flag : {"-h", "-help", "--help"}) {
            Console console;
            std::vector<std::string> argv;
            std::string word;
            for (char c : std::string(command.name) + " ") {
                if (c == ' ')
                    argv.push_back(std::exchange(word, ""));
                else
                    word += c;
            }
            argv.emplace_back(flag);
            EXPECT_EQ(run_command_line(argv, console.streams), 0) << command.name;
            EXPECT_EQ(console.out.find(fmt::format("Usage: drover {}", command.name)), 0u) << console.out;
            EXPECT_EQ(console.err, "") << command.name;
        }
        EXPECT_FALSE(command.synopsis.empty()) << command.name;
    }
}

TEST(CommandLine, AliasesAreTheirVerbs) {
    Console console;
    EXPECT_EQ(run_command_line({"alloc-status", "-h"}, console.streams), 0);
    EXPECT_EQ(console.out.find("Usage: drover alloc status"), 0u);
    Console version;
    EXPECT_EQ(run_command_line({"-version"}, version.streams), 0);
    EXPECT_EQ(version.out.find("drover v"), 0u);
}

}  // namespace
}  // namespace drover::cli
