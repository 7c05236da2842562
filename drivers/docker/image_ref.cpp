// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/image_ref.h"

#include "base/strings.h"

namespace drover::drivers {

Result<ImageRef> parse_image(const std::string& text) {
    auto bad = [&](std::string_view why) {
        return make_error(Code::InvalidArgument, "image: \"{}\": {}", text, why);
    };
    std::string rest = text;
    for (const char* scheme : {"https://", "http://", "docker://"})
        if (starts_with(rest, scheme)) rest.erase(0, std::string_view(scheme).size());
    if (rest.empty()) return bad("must not be empty");
    ImageRef image;
    if (size_t at = rest.find('@'); at != std::string::npos) {
        image.digest = rest.substr(at + 1);
        rest.resize(at);
        auto parts = split(image.digest, ':');
        if (parts.size() != 2 || parts[0] != "sha256" || parts[1].size() != 64 ||
            parts[1].find_first_not_of("0123456789abcdef") != std::string::npos)
            return bad("expected a digest of sha256: and 64 hexadecimal digits after \"@\"");
    }
    // A colon after the last slash is the tag's; one before it is a registry's port.
    size_t slash = rest.rfind('/');
    if (size_t colon = rest.rfind(':');
        colon != std::string::npos && (slash == std::string::npos || colon > slash)) {
        image.tag = rest.substr(colon + 1);
        rest.resize(colon);
        if (image.tag.empty()) return bad("the tag after \":\" is missing");
    } else if (image.digest.empty()) {
        image.tag = "latest";
    }
    if (rest.empty() || rest.back() == '/' || rest.find_first_of(" \t\n?#") != std::string::npos)
        return bad("is no image's name");
    image.repository = rest;
    const std::string first = rest.substr(0, rest.find('/'));
    const bool has_registry = rest.find('/') != std::string::npos &&
                              (first.find_first_of(".:") != std::string::npos || first == "localhost");
    image.registry = has_registry ? first : "docker.io";
    return image;
}

}  // namespace drover::drivers
