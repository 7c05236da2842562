// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/plugin_claims.h"

#include "agent/host/plugin_setup.h"
#include "agent/host/plugin_supervisor.h"

namespace drover::agent {

Status PluginClaims::claim(PluginSupervisor& claimant, const std::string& name, const std::string& version) {
    auto& owner = owners_[name];
    const auto other = owner.supervisor.lock();
    if (other && other.get() != &claimant) {
        const auto mine = claimant.status(), its = other->status();
        const auto my_version = version_numbers(version), its_version = version_numbers(owner.version);
        // At the same version an operator's own plugin replaces the bundled one.
        const bool wins =
            my_version > its_version || (my_version == its_version && its.bundled && !mine.bundled);
        if (!wins) {
            return make_error(Code::FailedPrecondition, "{} \"{}\" is already provided by {} ({}), this is {}",
                              what_, name, its.file, owner.version, version);
        }
        other->retire(fmt::format("{} \"{}\" is provided by {} ({})", what_, name, mine.file, version));
    }
    owner = {claimant.weak_from_this(), version};
    return {};
}

void PluginClaims::release(const PluginSupervisor& owner, const std::string& kept,
                           const std::function<void(const std::string& name)>& gone) {
    std::erase_if(owners_, [&](const auto& entry) {
        if (entry.first == kept || entry.second.supervisor.lock().get() != &owner) return false;
        gone(entry.first);
        return true;
    });
}

std::vector<std::string> PluginClaims::names() const {
    std::vector<std::string> out;
    for (const auto& [name, owner] : owners_) out.push_back(name);
    return out;
}

}  // namespace drover::agent
