// SPDX-License-Identifier: Apache-2.0
// What nearly every verb needs: the client made from the general flags, ids from prefixes, -json output, y/N
// prompts, the web UI hint. Everything here has already said what was wrong when it returns nothing.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/client/client.h"
#include "cli/command.h"
#include "cli/format.h"

namespace google::protobuf {
class Message;
}
namespace drover::model {
class AllocationListStub;
class Job;
class JobListStub;
class Value;
}  // namespace drover::model

namespace drover::cli {

// The client of this invocation; a bad address is said and answered with nullopt.
std::optional<api::Client> make_client(Invocation& in);

// Prints the message and returns kExitError: `return fail(in, "Error querying jobs: {}", error.message())`.
int fail_text(Invocation& in, std::string_view text);
template <class... Args>
int fail(Invocation& in, fmt::format_string<Args...> format, Args&&... args) {
    return fail_text(in, fmt::format(format, std::forward<Args>(args)...));
}
// A usage error: the sentence and where to find help.
int usage_error(Invocation& in, std::string_view text);

// True when -json or -t was given. print_data() prints the JSON text as they say and returns the exit code.
bool wants_data(Invocation& in);
int print_data(Invocation& in, std::string_view json);

// A field of a free-form object; a null value when absent. A value as text; nothing for null.
const model::Value& field(const model::Value& object, std::string_view name);
std::string text_of(const model::Value& value);

// "View ... in the Web UI" on stderr, when the agent's configuration says so (ui.show_cli_hints) and
// NOMAD_CLI_SHOW_HINTS does not forbid it. `before`: two blank lines lead instead of trail.
void ui_hint(Invocation& in, api::Client& client, std::string_view what, std::string_view path);

// y/N on stdout and stdin; an EOF is an error and said.
enum class Answer { Yes, No, Failed };
Answer ask(Invocation& in, std::string_view question);

size_t id_length(const Invocation& in);  // of shown UUIDs: -verbose or not

// The full id of what a prefix names. `words` is for the messages.
std::optional<std::string> resolve_alloc(Invocation& in, api::Client& client, const std::string& prefix);
std::optional<std::string> resolve_eval(Invocation& in, api::Client& client, const std::string& prefix);
std::optional<std::string> resolve_node(Invocation& in, api::Client& client, const std::string& prefix);
struct JobName {
    std::string id;
    std::string namespace_name;
    bool exact = false;
};
// `lead` begins the message of a failed query: "Error querying job".
std::optional<JobName> resolve_job(Invocation& in, api::Client& client, const std::string& prefix,
                                   std::string_view lead);
std::string job_path(std::string_view job_id, std::string_view tail = "");

std::string jobs_table(const std::vector<model::JobListStub>& jobs, bool with_namespace);

// GET of a list into messages.
template <class T>
Result<std::vector<T>> get_list(api::Client& client, std::string_view path,
                                const api::QueryParams& query = {});

}  // namespace drover::cli

#include "cli/support_list.h"
