// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace drover {

std::string_view code_name(Code code) {
    switch (code) {
        case Code::Ok:
            return "ok";
        case Code::Cancelled:
            return "cancelled";
        case Code::Unknown:
            return "unknown";
        case Code::InvalidArgument:
            return "invalid argument";
        case Code::DeadlineExceeded:
            return "deadline exceeded";
        case Code::NotFound:
            return "not found";
        case Code::AlreadyExists:
            return "already exists";
        case Code::PermissionDenied:
            return "permission denied";
        case Code::ResourceExhausted:
            return "resource exhausted";
        case Code::FailedPrecondition:
            return "failed precondition";
        case Code::Aborted:
            return "aborted";
        case Code::OutOfRange:
            return "out of range";
        case Code::Unimplemented:
            return "unimplemented";
        case Code::Internal:
            return "internal";
        case Code::Unavailable:
            return "unavailable";
        case Code::DataLoss:
            return "data loss";
        case Code::Unauthenticated:
            return "unauthenticated";
    }
    return "unknown";
}

static Code code_of_errno(int number) {
    switch (number) {
        case ENOENT:
        case ESRCH:
        case ENODEV:
            return Code::NotFound;
        case EEXIST:
            return Code::AlreadyExists;
        case EACCES:
        case EPERM:
        case EROFS:
            return Code::PermissionDenied;
        case EINVAL:
        case ENAMETOOLONG:
        case ENOTDIR:
        case EISDIR:
            return Code::InvalidArgument;
        case ENOSPC:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case EDQUOT:
            return Code::ResourceExhausted;
        case ECONNREFUSED:
        case ECONNRESET:
        case EPIPE:
        case EHOSTUNREACH:
        case ENETUNREACH:
            return Code::Unavailable;
        case ETIMEDOUT:
            return Code::DeadlineExceeded;
        case EBUSY:
        case ENOTEMPTY:
            return Code::FailedPrecondition;
        case ENOSYS:
        case EOPNOTSUPP:
            return Code::Unimplemented;
        default:
            return Code::Unknown;
    }
}

Error Error::from_errno(std::string_view what, int number) {
    char buffer[128];
    Error error(code_of_errno(number),
                fmt::format("{}: {}", what, ::strerror_r(number, buffer, sizeof buffer)));
    error.errno_ = number;
    return error;
}

void abort_with(std::string_view what, const char* file, int line) {
    fmt::print(stderr, "drover: {} ({}:{})\n", what, file, line);
    std::abort();
}

}  // namespace drover
