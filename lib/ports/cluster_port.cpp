// SPDX-License-Identifier: Apache-2.0
#include "ports/cluster_port.h"

namespace drover::ports {

void CancelToken::cancel() {
    std::function<void()> hook;
    {
        std::lock_guard lock(mutex_);
        if (cancelled_) return;
        cancelled_ = true;
        hook.swap(hook_);
    }
    if (hook) hook();
}

bool CancelToken::cancelled() const {
    std::lock_guard lock(mutex_);
    return cancelled_;
}

void CancelToken::on_cancel(std::function<void()> hook) {
    {
        std::lock_guard lock(mutex_);
        if (!cancelled_) {
            hook_ = std::move(hook);
            return;
        }
    }
    hook();
}

const google::protobuf::MethodDescriptor& cluster_method(std::string_view name) {
    const auto* method = cluster::Empty::descriptor()->file()->pool()->FindMethodByName(
        fmt::format("drover.cluster.{}", name));
    DROVER_ASSERT(method != nullptr);
    return *method;
}

}  // namespace drover::ports
