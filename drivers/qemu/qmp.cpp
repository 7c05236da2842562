// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/sys/unix_socket.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

// A guest agent answers with at most 16 MiB of each output, in base64.
constexpr size_t kLineMax = 64 << 20;

Error silent(const std::string& peer) {
    return make_error(Code::Unavailable, "{} does not answer", peer).with_retry(Retry::Yes);
}

Status await(int fd, short events, int64_t deadline_ns, const std::string& peer) {
    for (;;) {
        const int64_t left = deadline_ns - mono_now();
        if (left <= 0) return silent(peer);
        pollfd wait{fd, events, 0};
        const int ready =
            ::poll(&wait, 1, static_cast<int>(std::min<int64_t>(left / kMillisecond + 1, 60'000)));
        if (ready < 0 && errno != EINTR) return Error::from_errno("poll");
        if (ready > 0) return {};
    }
}

}  // namespace

Result<QmpClient> QmpClient::connect(const std::string& dir, const char* name, Kind kind,
                                     int64_t deadline_ns) {
    const std::string peer = kind == Kind::Monitor ? "qemu's monitor" : "the guest agent";
    UniqueFd folder(::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    UniqueFd fd(folder ? sys::connect_at(folder.get(), name) : -1);
    if (!fd)
        return make_error(Code::Unavailable, "{}: {}", peer, std::strerror(errno)).with_retry(Retry::Yes);
    DROVER_CHECK(set_nonblocking(fd.get()));
    QmpClient client(std::move(fd), peer);
    DROVER_CHECK(kind == Kind::Monitor ? client.greet_monitor(deadline_ns) : client.greet_agent(deadline_ns));
    return client;
}

Status QmpClient::greet_monitor(int64_t deadline_ns) {
    DROVER_TRY(std::string greeting, line(deadline_ns));
    if (!json::parse(greeting, nullptr, false).contains("QMP"))
        return make_error(Code::Internal, "{}: expected its greeting, found {}", peer_,
                          greeting.substr(0, 100));
    DROVER_TRY(json done, call("qmp_capabilities", {}, deadline_ns));
    (void)done;
    return {};
}

// The port may hold bytes of a client that died: 0xff makes the agent drop what it has of an unfinished
// command, and its answer to our number, marked with 0xff, ends what is not for us.
Status QmpClient::greet_agent(int64_t deadline_ns) {
    const int64_t number = mono_now() & 0x7fffffff;
    DROVER_CHECK(await(fd_.get(), POLLOUT, deadline_ns, peer_));
    DROVER_CHECK(write_all(fd_.get(), "\xff"));
    DROVER_CHECK(send({{"execute", "guest-sync-delimited"}, {"arguments", {{"id", number}}}}, deadline_ns));
    for (;;) {
        DROVER_TRY(std::string text, line(deadline_ns));
        size_t mark = text.rfind('\xff');
        if (mark == std::string::npos) continue;
        json answer = json::parse(text.substr(mark + 1), nullptr, false);
        if (answer.is_object() && answer.value("return", json()) == json(number)) return {};
    }
}

Status QmpClient::send(const json& message, int64_t deadline_ns) {
    std::string text = message.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
    std::string_view rest = text;
    while (!rest.empty()) {
        DROVER_CHECK(await(fd_.get(), POLLOUT, deadline_ns, peer_));
        ssize_t n = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n < 0)
            return make_error(Code::Unavailable, "{}: {}", peer_, std::strerror(errno))
                .with_retry(Retry::Yes);
        rest.remove_prefix(static_cast<size_t>(n));
    }
    return {};
}

Result<std::string> QmpClient::line(int64_t deadline_ns) {
    for (size_t searched = 0;;) {
        if (size_t end = received_.find('\n', searched); end != std::string::npos) {
            std::string text = received_.substr(0, end);
            received_.erase(0, end + 1);
            return text;
        }
        searched = received_.size();
        if (searched > kLineMax)
            return make_error(Code::ResourceExhausted, "{}: an answer of more than {} MiB", peer_,
                              kLineMax >> 20);
        DROVER_CHECK(await(fd_.get(), POLLIN, deadline_ns, peer_));
        char buffer[16384];
        ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (n <= 0) return silent(peer_);
        received_.append(buffer, static_cast<size_t>(n));
    }
}

Result<json> QmpClient::call(const std::string& command, json arguments, int64_t deadline_ns) {
    json message = {{"execute", command}};
    if (!arguments.empty()) message["arguments"] = std::move(arguments);
    DROVER_CHECK(send(message, deadline_ns));
    for (;;) {
        DROVER_TRY(std::string text, line(deadline_ns));
        json answer = json::parse(text, nullptr, false);
        if (!answer.is_object())
            return make_error(Code::Internal, "{}: {}: the answer is no object", peer_, command);
        if (auto found = answer.find("return"); found != answer.end()) return std::move(*found);
        if (auto found = answer.find("error"); found != answer.end()) {
            json told = found->is_object() ? found->value("desc", json()) : json();
            return make_error(Code::FailedPrecondition, "{}: {}: {}", peer_, command,
                              told.is_string() ? told.get<std::string>() : "it failed");
        }  // anything else is an event
    }
}

}  // namespace drover::drivers
