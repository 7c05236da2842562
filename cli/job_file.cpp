// SPDX-License-Identifier: Apache-2.0
#include "cli/job_file.h"

#include <sys/stat.h>

#include <climits>
#include <istream>
#include <iterator>

#include "base/files.h"
#include "base/strings.h"
#include "jobspec/job.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

constexpr uint64_t kJobFileBytesMax = 16u << 20;

std::string absolute(const std::string& path) {
    if (!path.empty() && path[0] == '/') return path;
    char here[PATH_MAX];
    return ::getcwd(here, sizeof here) ? join_path(here, path) : path;
}

Result<std::string> read_source(Invocation& in, const std::string& path) {
    if (path == "-") {
        if (!in.io.in)
            return make_error(Code::FailedPrecondition,
                              "Error getting jobfile from \"-\": no standard input");
        std::string text(std::istreambuf_iterator<char>(*in.io.in), {});
        if (text.size() > kJobFileBytesMax)
            return make_error(Code::ResourceExhausted, "the job has more than {} bytes", kJobFileBytesMax);
        return text;
    }
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0)
        return make_error(Code::NotFound, "Error getting jobfile from {}: source path error: stat {}: {}",
                          quoted(path), absolute(path),
                          errno == ENOENT ? "no such file or directory" : std::strerror(errno));
    if (S_ISDIR(info.st_mode))
        return make_error(Code::InvalidArgument,
                          "Error getting jobfile from {}: it is a directory, a file is expected",
                          quoted(path));
    return read_file(path, kJobFileBytesMax)
        .context(fmt::format("Error getting jobfile from {}", quoted(path)));
}

}  // namespace

std::vector<Flag> job_file_flags() {
    return {
        {"json", FlagKind::Bool, "The file is a job as JSON of the HTTP API, bare or as {\"Job\": ...}."},
        {"hcl2-strict", FlagKind::Bool, "Values for undeclared variables are errors. Default: true.", "true"},
        {"var", FlagKind::List, "key=value: the value of an input variable. May be given several times."},
        {"var-file", FlagKind::List, "A file with values of input variables. May be given several times."},
        {"vault-namespace", FlagKind::Text, "The Vault namespace of the job."},
    };
}

Status read_job_file(Invocation& in, const std::string& path, model::Job& job,
                     model::JobSubmission& submission) {
    DROVER_TRY(auto text, read_source(in, path));
    submission.set_source(text);
    if (in.on("json")) {
        submission.set_format("json");
        return jobspec::parse_job_json(text, job).context("Failed to parse JSON job");
    }
    submission.set_format("hcl2");
    jobspec::JobSource source;
    source.text = std::move(text);
    source.filename = path == "-" ? "stdin.nomad" : path;
    source.strict = in.on("hcl2-strict");
    source.environment = jobspec::variables_of_environment();
    auto slash = path.rfind('/');
    source.functions = jobspec::local_environment(
        slash == std::string::npos ? absolute("") : absolute(path.substr(0, slash)));
    for (const auto& file : in.list("var-file")) {
        DROVER_TRY(auto values, read_file(file, kJobFileBytesMax).context("Failed to read a variable file"));
        submission.set_variables(submission.variables() + values);
        source.variable_files.push_back({file, std::move(values)});
    }
    for (const auto& item : in.list("var")) {
        auto equals = item.find('=');
        if (equals == std::string::npos)
            return make_error(Code::InvalidArgument,
                              "Error parsing job file from {}:\nvariable option {} is missing its \"=\": "
                              "-var=\"name=value\" is expected",
                              path, quoted(item));
        auto name = item.substr(0, equals);
        auto value = item.substr(equals + 1);
        (*submission.mutable_variable_flags())[name] = value;
        source.variable_flags.emplace_back(std::move(name), std::move(value));
    }
    auto diagnostics = jobspec::parse_job(source, job);
    if (diagnostics.has_errors())
        return make_error(Code::InvalidArgument, "Error parsing job file from {}:\n{}", path,
                          diagnostics.text());
    for (const auto& diagnostic : diagnostics) in.io.warn_line(diagnostic.text());
    if (in.given("vault-namespace")) job.set_vault_namespace(in.text("vault-namespace"));
    return {};
}

api::QueryParams job_scope(const model::Job& job, const api::Client& client) {
    api::QueryParams query;
    if (!job.namespace_().empty() && client.options().namespace_name.empty())
        query.emplace_back("namespace", job.namespace_());
    if (!job.region().empty() && client.options().region.empty()) query.emplace_back("region", job.region());
    return query;
}

}  // namespace drover::cli
