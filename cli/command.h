// SPDX-License-Identifier: Apache-2.0
// What a verb of the command line is: a row of the table in verbs.cpp. main.cpp finds the row by its words,
// parses the flags it declares (flags.h), answers -h with a help text made from the row, and calls run(). A
// verb talks to the world only through its Invocation, so that tests run it in process.
#pragma once
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace drover::cli {

constexpr int kExitOk = 0;
constexpr int kExitError = 1;

// Where a verb reads and writes. `out` and `err` take text as it is; line() adds the newline.
struct Streams {
    std::function<void(std::string_view)> out;
    std::function<void(std::string_view)> err;
    std::istream* in = nullptr;
    int64_t (*clock)() = unix_now;  // ns; tests put a fixed one here
    bool out_is_terminal = false;
    bool in_is_terminal = false;
    bool colour = false;  // decided by main from the terminal, -no-color and the environment

    void line(std::string_view text) const;        // to out
    void error_line(std::string_view text) const;  // to err, red on a terminal
    void warn_line(std::string_view text) const;   // to err, yellow on a terminal
    std::string bold(std::string_view text) const;
};

// The streams of this process.
Streams process_streams();

enum class FlagKind {
    Bool,
    Text,
    Int,
    Duration,
    List,
    Map
};  // List and Map may be given several times; Map is k=v

struct Flag {
    std::string_view name;
    FlagKind kind = FlagKind::Bool;
    std::string_view help;
    std::string_view default_value = "";  // as written on the command line
};

class Invocation;

// Which flags a verb takes besides its own.
enum class General { None, Api };

struct Command {
    std::string_view name;         // "job run"
    std::string_view synopsis;     // one line for lists
    std::string_view usage;        // "[options] <path>"
    std::string_view description;  // paragraphs for -help
    General general = General::Api;
    std::vector<Flag> flags;
    int args_min = 0;
    int args_max = 0;                   // -1: any number
    std::string_view args_error;        // "This command takes one argument: <path>"
    int (*run)(Invocation&) = nullptr;  // null: a group of subcommands
    // For verbs that parse their own flags (agent): gets everything after the verb, as it came.
    int (*run_raw)(const std::vector<std::string>& args, Streams& streams) = nullptr;
    std::string_view alias_of = "";      // an old spelling, not listed
    bool common = false;                 // listed under "Common commands"
    int client_error_exit = kExitError;  // exit code for errors before anything was sent
};

// One call of a verb: its flags and arguments, parsed. Asking for a flag the command does not declare is our
// own mistake and aborts.
class Invocation {
 public:
    Invocation(const Command& command, Streams& streams) : command_(command), io(streams) {}

    bool on(std::string_view flag) const;
    std::string text(std::string_view flag) const;
    int64_t number(std::string_view flag) const;  // Int, or ns of a Duration
    std::vector<std::string> list(std::string_view flag) const;
    bool given(std::string_view flag) const;
    const Command& command() const { return command_; }

    std::vector<std::string> args;

 private:
    friend class FlagParser;
    const Command& command_;
    std::map<std::string, std::vector<std::string>, std::less<>> values_;

 public:
    Streams& io;
};

// All rows, aliases included. The first words of argv select the longest matching name.
const std::vector<Command>& commands();

// What main() does: find the verb, parse, help, run. argv without the program's name.
int run_command_line(const std::vector<std::string>& argv, Streams& streams);

}  // namespace drover::cli
