// SPDX-License-Identifier: Apache-2.0
// PluginClaims: which plugin provides which name, for one type of plugin. Of two with one name the higher version
// wins, the other one is retired with that reason. Used by plugin_host.cpp under its mutex.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drover::agent {

class PluginSupervisor;

class PluginClaims {
 public:
    explicit PluginClaims(std::string_view what) : what_(what) {}  // "driver"

    // An error says who has the name already.
    Status claim(PluginSupervisor& claimant, const std::string& name, const std::string& version);
    // `owner` gives up all its names but `kept`; `gone` is called for each.
    void release(const PluginSupervisor& owner, const std::string& kept,
                 const std::function<void(const std::string& name)>& gone);

    bool has(const std::string& name) const { return owners_.count(name) != 0; }
    std::vector<std::string> names() const;

 private:
    struct Owner {
        std::weak_ptr<PluginSupervisor> supervisor;
        std::string version;
    };
    const std::string_view what_;
    std::map<std::string, Owner> owners_;
};

}  // namespace drover::agent
