// SPDX-License-Identifier: Apache-2.0
// An image's name as people write it, taken apart as docker does: "redis", "host:5000/team/app:1.2",
// "app@sha256:...". Pure.
#pragma once
#include <string>

#include "base/result.h"

namespace drover::drivers {

struct ImageRef {
    std::string registry;    // "docker.io" when none is written
    std::string repository;  // with the registry, as written: "host:5000/team/app"
    std::string tag;         // "latest" when neither tag nor digest is written
    std::string digest;      // "sha256:..."; pins, the tag is then only for people

    const std::string& version() const { return digest.empty() ? tag : digest; }
    std::string text() const { return repository + (digest.empty() ? ":" + tag : "@" + digest); }
    friend bool operator==(const ImageRef&, const ImageRef&) = default;
};

// InvalidArgument naming what is wrong. "https://" in front is taken off, as older jobs have it.
Result<ImageRef> parse_image(const std::string& text);

}  // namespace drover::drivers
