// SPDX-License-Identifier: Apache-2.0
// What a driver answers for the calls it does not implement.
#include "drover/driver.h"

namespace drover::sdk {
namespace {

// Unknown, not Unimplemented: the text is what users of Nomad's drivers see, and hosts retry neither.
Error unsupported(std::string_view call) {
    return make_error(Code::Unknown, "{} is not supported by this driver", call);
}

}  // namespace

Status Driver::set_config(std::string_view, const std::optional<AgentConfig>&) { return {}; }

Result<TaskStats> Driver::task_stats(const std::string&) {
    return make_error(Code::Unimplemented, "stats are not supported by this driver");
}

Status Driver::signal_task(const std::string&, const std::string&) { return unsupported("SignalTask"); }

Result<ExecOutput> Driver::exec_task(const std::string&, const std::vector<std::string>&, int64_t) {
    return unsupported("ExecTask");
}

Result<ExitResult> Driver::exec_task_streaming(const std::string&, const ExecRequest&, ExecStream&) {
    return make_error(Code::Unimplemented, "driver does not support exec");
}

Result<CreatedNetwork> Driver::create_network(const std::string&, const std::string&) {
    return unsupported("CreateNetwork");
}

Status Driver::destroy_network(const std::string&, const NetworkIsolation&) { return unsupported("DestroyNetwork"); }

}  // namespace drover::sdk
