// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/process/spec_writer.h"

#include <functional>

#include "base/files.h"

namespace drover::sdk {
namespace {

using shim::Tag;

class Writer {
 public:
    void text(Tag tag, const std::string& value) { field(tag, value.c_str(), value.size() + 1); }
    void texts(Tag tag, const std::vector<std::string>& values) {
        for (const std::string& value : values) text(tag, value);
    }
    void number(Tag tag, uint32_t value) { field(tag, &value, sizeof value); }
    void field(Tag tag, const void* data, size_t size) {
        shim::FieldHeader header{tag, static_cast<uint32_t>(size)};
        bytes_.append(reinterpret_cast<const char*>(&header), sizeof header);
        bytes_.append(static_cast<const char*>(data), size);
        ++fields_;
    }
    std::string finish() {
        shim::SpecHeader header{shim::kSpecMagic, shim::kWireVersion, 0, 0, fields_, 0};
        header.bytes = static_cast<uint32_t>(sizeof header + bytes_.size());
        header.checksum = shim::fnv64(bytes_.data(), bytes_.size());
        return std::string(reinterpret_cast<const char*>(&header), sizeof header) + bytes_;
    }

 private:
    std::string bytes_;
    uint32_t fields_ = 0;
};

Status check_path(const char* what, const std::string& path) {
    if (path.empty() || path.front() != '/')
        return make_error(Code::InvalidArgument, "{} \"{}\": expected an absolute path", what, path);
    if (path.size() > 4000) return make_error(Code::InvalidArgument, "{}: longer than 4000 bytes", what);
    return {};
}

Status check(const ProcessSpec& spec) {
    if (spec.task_id.empty()) return make_error(Code::InvalidArgument, "task id is empty");
    DROVER_CHECK(check_path("command", spec.command));
    for (const auto& [what, path] : {std::pair<const char*, const std::string&>{"work_dir", spec.work_dir},
                                     {"stdin", spec.stdin_path},
                                     {"stdout", spec.stdout_path},
                                     {"stderr", spec.stderr_path},
                                     {"pid_file", spec.pid_file}})
        if (!path.empty()) DROVER_CHECK(check_path(what, path));
    auto no_nul = [](const char* what, const std::string& value) -> Status {
        if (value.find('\0') == std::string::npos) return {};
        return make_error(Code::InvalidArgument, "{} \"{}\" holds a NUL byte", what, value);
    };
    DROVER_CHECK(no_nul("task id", spec.task_id));
    DROVER_CHECK(no_nul("command", spec.command));
    DROVER_CHECK(no_nul("work_dir", spec.work_dir));
    for (const std::string& arg : spec.args) DROVER_CHECK(no_nul("argument", arg));
    for (const std::string& entry : spec.env) {
        DROVER_CHECK(no_nul("environment", entry));
        if (entry.find('=') == std::string::npos)
            return make_error(Code::InvalidArgument, "environment entry \"{}\": expected NAME=VALUE", entry);
    }
    if (spec.user && spec.user->groups.size() > 64)
        return make_error(Code::InvalidArgument, "{} supplementary groups, at most 64 are supported",
                          spec.user->groups.size());
    return {};
}

}  // namespace

Result<std::string> encode_spec(const ProcessSpec& spec, const SpecPlaces& places) {
    DROVER_CHECK(check(spec));
    Writer writer;
    writer.text(Tag::TaskId, spec.task_id);
    if (!spec.cgroup.empty()) writer.text(Tag::Cgroup, spec.cgroup);
    writer.text(Tag::Command, spec.command);
    writer.text(Tag::Arg, spec.command);
    writer.texts(Tag::Arg, spec.args);
    writer.texts(Tag::Env, spec.env);
    if (!spec.work_dir.empty()) writer.text(Tag::WorkDir, spec.work_dir);
    if (!spec.stdin_path.empty()) writer.text(Tag::StdinPath, spec.stdin_path);
    if (!spec.stdout_path.empty()) writer.text(Tag::StdoutPath, spec.stdout_path);
    if (!spec.stderr_path.empty()) writer.text(Tag::StderrPath, spec.stderr_path);
    if (spec.user) {
        writer.number(Tag::Uid, spec.user->uid);
        writer.number(Tag::Gid, spec.user->gid);
        for (gid_t group : spec.user->groups) writer.number(Tag::Group, group);
    }
    for (const ProcessRlimit& limit : spec.rlimits) {
        shim::RlimitField field{static_cast<uint32_t>(limit.resource), 0, limit.soft, limit.hard};
        writer.field(Tag::Rlimit, &field, sizeof field);
    }
    if (spec.umask) writer.number(Tag::Umask, *spec.umask);
    if (spec.oom_score_adj) writer.number(Tag::OomScoreAdj, static_cast<uint32_t>(*spec.oom_score_adj));
    if (spec.no_new_privs) writer.number(Tag::NoNewPrivs, 1);
    writer.texts(Tag::ShimJoin, places.shim_join);
    writer.texts(Tag::TaskJoin, places.task_join);
    if (!places.task_cgroup2.empty()) writer.text(Tag::TaskCgroup2, places.task_cgroup2);
    if (!places.kill_freezer.empty()) writer.text(Tag::KillFreezer, places.kill_freezer);
    if (!places.kill_cgroup2.empty()) writer.text(Tag::KillCgroup2, places.kill_cgroup2);
    writer.texts(Tag::OomFile, places.oom_files);
    if (!spec.pid_file.empty()) writer.text(Tag::PidFile, spec.pid_file);
    writer.number(Tag::DrainMs, static_cast<uint32_t>(spec.drain_timeout_ns / 1'000'000));
    writer.number(Tag::LaunchMs, static_cast<uint32_t>(spec.launch_timeout_ns / 1'000'000));
    std::string bytes = writer.finish();
    if (bytes.size() > shim::kSpecBytesMax)
        return make_error(Code::InvalidArgument,
                          "arguments and environment take {} bytes, at most {} are supported", bytes.size(),
                          shim::kSpecBytesMax);
    return bytes;
}

namespace {

Status each_field(const std::string& file, const std::function<void(Tag, const char*)>& use) {
    DROVER_TRY(const std::string bytes, read_file(file, shim::kSpecBytesMax));
    shim::SpecReader reader;
    if (const char* wrong = reader.open(bytes.data(), bytes.size()))
        return make_error(Code::DataLoss, "{}: {}", file, wrong);
    Tag tag;
    const char* payload;
    uint32_t size;
    while (reader.next(&tag, &payload, &size)) use(tag, payload);
    return {};
}

}  // namespace

Result<SpecSummary> read_spec_summary(const std::string& file) {
    SpecSummary summary;
    DROVER_CHECK(each_field(file, [&](Tag tag, const char* payload) {
        if (tag == Tag::TaskId) summary.task_id = payload;
        if (tag == Tag::Cgroup) summary.cgroup = payload;
    }));
    return summary;
}

Result<ExecProgram> read_spec_program(const std::string& file) {
    ExecProgram program;
    ProcessUser user;
    bool has_user = false;
    DROVER_CHECK(each_field(file, [&](Tag tag, const char* payload) {
        uint32_t number = 0;
        if (!shim::tag_is_string(tag)) std::memcpy(&number, payload, sizeof number);
        if (tag == Tag::Env) program.env.push_back(payload);
        if (tag == Tag::WorkDir) program.work_dir = payload;
        if (tag == Tag::Cgroup) program.cgroup = payload;
        if (tag == Tag::Uid) has_user = true, user.uid = number;
        if (tag == Tag::Gid) user.gid = number;
        if (tag == Tag::Group) user.groups.push_back(number);
    }));
    if (has_user) program.user = std::move(user);
    return program;
}

}  // namespace drover::sdk
