// SPDX-License-Identifier: Apache-2.0
// Error and Result<T>: how every room reports failure. Code has gRPC's canonical numbers, so the wire cast is
// one line. A function returns a Result or logs, never both. Exceptions do not cross a room border.
#pragma once
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <tl/expected.hpp>

namespace drover {

// gRPC's canonical status codes.
enum class Code : int {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
};

std::string_view code_name(Code code);

// Whether the same call may succeed when made again: Nomad's "recoverable" bit of driver errors.
enum class Retry : bool { No = false, Yes = true };

class [[nodiscard]] Error {
 public:
    Error() = default;
    Error(Code code, std::string message, Retry retry = Retry::No)
        : code_(code), retry_(retry), message_(std::move(message)) {}

    Code code() const { return code_; }
    Retry retry() const { return retry_; }
    int system_errno() const { return errno_; }
    // The whole text, outermost context first: "start task web: open /x: No such file or directory".
    const std::string& message() const { return message_; }

    // Adds what was being done, at a room border: `what: message`.
    Error context(std::string_view what) && {
        message_ = fmt::format("{}: {}", what, message_);
        return std::move(*this);
    }
    Error with_retry(Retry retry) && {
        retry_ = retry;
        return std::move(*this);
    }

    // An Error from errno (or a given value), its code mapped from the number: ENOENT is NotFound, and so on.
    static Error from_errno(std::string_view what, int number = errno);

    friend bool operator==(const Error& a, const Error& b) {
        return a.code_ == b.code_ && a.message_ == b.message_;
    }

 private:
    Code code_ = Code::Unknown;
    Retry retry_ = Retry::No;
    int errno_ = 0;
    std::string message_;
};

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
    using Base = tl::expected<T, Error>;
    using Base::Base;
    Result(Error error) : Base(tl::unexpected<Error>(std::move(error))) {}  // NOLINT: implicit by design

    // Passes a value through, adds context to an error.
    Result context(std::string_view what) && {
        if (!*this) return std::move(this->error()).context(what);
        return std::move(*this);
    }
};

template <>
class [[nodiscard]] Result<void> : public tl::expected<void, Error> {
 public:
    using Base = tl::expected<void, Error>;
    using Base::Base;
    Result() = default;
    Result(Error error) : Base(tl::unexpected<Error>(std::move(error))) {}  // NOLINT: implicit by design

    Result context(std::string_view what) && {
        if (!*this) return std::move(this->error()).context(what);
        return std::move(*this);
    }
};

using Status = Result<void>;

template <class... Args>
Error make_error(Code code, fmt::format_string<Args...> format, Args&&... args) {
    return Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Ends the process with a message on stderr: for our own broken invariants and for loops that must never end.
[[noreturn]] void abort_with(std::string_view what, const char* file, int line);

}  // namespace drover

#define DROVER_CONCAT_(a, b) a##b
#define DROVER_CONCAT(a, b) DROVER_CONCAT_(a, b)

// DROVER_TRY(auto fd, open_dir(path)); returns the error early, else binds the value. One statement, own
// scope of names.
#define DROVER_TRY(decl, expr) DROVER_TRY_(decl, expr, DROVER_CONCAT(try_result_, __LINE__))
#define DROVER_TRY_(decl, expr, tmp)         \
    auto tmp = (expr);                       \
    if (!tmp) return std::move(tmp).error(); \
    decl = std::move(*tmp)

// DROVER_CHECK(write_all(fd, bytes)); for a Status (or a Result whose value is not wanted).
#define DROVER_CHECK(expr)                                           \
    do {                                                             \
        auto check_result_ = (expr);                                 \
        if (!check_result_) return std::move(check_result_).error(); \
    } while (false)

// Always on; for our own mistakes only, never reachable by input, config, disk or peer.
#define DROVER_ASSERT(cond) \
    ((cond) ? static_cast<void>(0) : ::drover::abort_with("assertion failed: " #cond, __FILE__, __LINE__))
