// SPDX-License-Identifier: Apache-2.0
// A list of findings, printed as Nomad's users know it: "2 errors occurred:\n\t* a\n\t* b\n\n". Only for
// lib/model.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace drover::model {

std::string format_errors(const std::vector<std::string>& errors);

class Findings {
 public:
    template <class... Args>
    void add(fmt::format_string<Args...> format, Args&&... args) {
        all_.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
    // Several findings as one: "<prefix>: N errors occurred: ...". Nothing when there are none.
    void nest(std::string_view prefix, const Findings& inner) {
        if (!inner.all_.empty()) all_.push_back(fmt::format("{}: {}", prefix, format_errors(inner.all_)));
    }
    void nest(const Findings& inner) {
        if (!inner.all_.empty()) all_.push_back(format_errors(inner.all_));
    }
    // Side by side with these.
    void append(const Findings& other) { all_.insert(all_.end(), other.all_.begin(), other.all_.end()); }

    const std::vector<std::string>& all() const { return all_; }

 private:
    std::vector<std::string> all_;
};

}  // namespace drover::model
