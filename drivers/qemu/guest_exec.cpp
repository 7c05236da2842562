// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/guest_exec.h"

#include "base/clock.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "drivers/qemu/qemu_command.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

constexpr int64_t kAnswerNs = 10 * kSecond;
constexpr int64_t kPollMaxMs = 200;

std::string decoded(const json& status, const char* key) {
    auto found = status.find(key);
    if (found == status.end() || !found->is_string()) return "";
    return base64_decode(found->get<std::string>()).value_or("");
}

int32_t number(const json& status, const char* key) {
    auto found = status.find(key);
    return found != status.end() && found->is_number_integer() ? found->get<int32_t>() : 0;
}

}  // namespace

Result<sdk::ExecOutput> guest_exec(const std::string& socket_dir, const std::vector<std::string>& command,
                                   int64_t deadline_ns, const std::function<bool()>& stopped) {
    auto answer_by = [&] { return std::min(deadline_ns, mono_now() + kAnswerNs); };
    auto agent = [&] {
        return QmpClient::connect(socket_dir, kGuestAgentSocket, QmpClient::Kind::GuestAgent, answer_by());
    };
    json pid;
    {
        DROVER_TRY(QmpClient client, agent());
        json arguments = {{"path", command.at(0)}, {"capture-output", true}};
        arguments["arg"] = std::vector<std::string>(command.begin() + 1, command.end());
        DROVER_TRY(json started, client.call("guest-exec", std::move(arguments), answer_by()));
        if (!started.is_object() || !started.contains("pid"))
            return make_error(Code::Internal, "the guest agent: guest-exec: no pid in the answer");
        pid = started["pid"];
    }
    // A connection for each question: qemu's socket has one client at a time, and other programs may run
    // meanwhile.
    auto ask = [&]() -> Result<json> {
        DROVER_TRY(QmpClient client, agent());
        return client.call("guest-exec-status", {{"pid", pid}}, answer_by());
    };
    for (int64_t nap_ms = 5;; nap_ms = std::min(nap_ms * 2, kPollMaxMs)) {
        auto status = ask();
        if (status && status->is_object() && status->value("exited", json()) == json(true)) {
            sdk::ExecOutput out{decoded(*status, "out-data"), decoded(*status, "err-data"), {}};
            out.exit.signal = number(*status, "signal");
            out.exit.exit_code = out.exit.signal != 0 ? 128 + out.exit.signal : number(*status, "exitcode");
            return out;
        }
        if (stopped()) return make_error(Code::Cancelled, "nobody waits for \"{}\" any more", command[0]);
        if (mono_now() >= deadline_ns)
            return make_error(Code::DeadlineExceeded, "\"{}\" has not ended in time", command[0]);
        if (!status) return std::move(status).error();
        sys::nap_ms(static_cast<int>(nap_ms));
    }
}

}  // namespace drover::drivers
