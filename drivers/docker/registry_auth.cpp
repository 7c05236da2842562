// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/registry_auth.h"

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "drivers/common/command_path.h"
#include "drivers/common/subprocess.h"
#include "drivers/docker/json_read.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

constexpr int64_t kHelperNs = 30 * kSecond;
constexpr char kHub[] = "https://index.docker.io/v1/";

// The keys under which config.json may have a registry.
std::vector<std::string> keys_of(const std::string& registry) {
    std::vector<std::string> keys{registry, "https://" + registry, "http://" + registry,
                                  "https://" + registry + "/v1/", "https://" + registry + "/v2/"};
    if (registry == "docker.io") keys = {kHub, "index.docker.io", "docker.io", "https://index.docker.io/v2/"};
    return keys;
}

Result<Credentials> from_helper(const std::string& helper, const std::string& registry) {
    if (helper.find('/') != std::string::npos)
        return make_error(Code::InvalidArgument, "auth helper \"{}\": is a name, not a path", helper);
    const std::string program = "docker-credential-" + helper;
    const char* path = std::getenv("PATH");
    DROVER_TRY(std::string found, find_command(program, "/usr/local/bin", "/usr/local/bin",
                                               path ? path : kDefaultPath, {{"/", "/"}}));
    const std::string server = registry == "docker.io" ? kHub : registry;
    DROVER_TRY(auto answer, run_command({found, "get"}, kHelperNs, server + "\n"));
    if (answer.exit_code != 0) {
        // The helpers' way to say "none".
        if (answer.output.find("credentials not found") != std::string::npos) return Credentials();
        return make_error(Code::Unauthenticated, "auth helper {}: exit code {}", program, answer.exit_code);
    }
    json value = json::parse(answer.output, nullptr, false);
    Credentials out;
    out.username = text_at(value, "Username");
    out.password = text_at(value, "Secret");
    out.server = server;
    if (out.password.empty())
        return make_error(Code::Unauthenticated, "auth helper {}: the answer has no Secret", program);
    // "<token>" as the name means that the secret is an identity token.
    if (out.username == "<token>") {
        out.identity_token = std::move(out.password);
        out.username.clear();
        out.password.clear();
    }
    return out;
}

Result<Credentials> from_entry(const json& entry, const std::string& registry, const std::string& path) {
    Credentials out;
    out.server = registry == "docker.io" ? kHub : registry;
    out.identity_token = text_at(entry, "identitytoken");
    out.email = text_at(entry, "email");
    out.username = text_at(entry, "username");
    out.password = text_at(entry, "password");
    if (std::string packed = text_at(entry, "auth"); !packed.empty()) {
        auto plain = base64_decode(packed);
        size_t colon = plain ? plain->find(':') : std::string::npos;
        if (colon == std::string::npos)
            return make_error(Code::InvalidArgument,
                              "auth config {}: auths: {}: auth is not base64 of user:password", path,
                              registry);
        out.username = plain->substr(0, colon);
        out.password = plain->substr(colon + 1);
    }
    return out;
}

Result<Credentials> from_config(const std::string& path, const std::string& registry) {
    auto text = read_file(path, 1 << 20);
    if (!text) return std::move(text).error().context("auth config");
    json config = json::parse(*text, nullptr, false);
    if (!config.is_object())
        return make_error(Code::InvalidArgument, "auth config {}: is no JSON object", path);
    for (const std::string& key : keys_of(registry))
        if (std::string helper = text_at(config, "credHelpers", key.c_str()); !helper.empty())
            return from_helper(helper, registry);
    for (const std::string& key : keys_of(registry))
        if (const json* entry = find(config, "auths", key.c_str());
            entry && entry->is_object() && !entry->empty())
            return from_entry(*entry, registry, path);
    if (std::string store = text_at(config, "credsStore"); !store.empty())
        return from_helper(store, registry);
    return Credentials();
}

}  // namespace

Result<Credentials> find_credentials(const std::string& registry, const DockerTaskConfig& task,
                                     const DockerPluginConfig& plugin) {
    if (task.auth && !task.auth->username.empty()) {
        return Credentials{.username = task.auth->username,
                           .password = task.auth->password,
                           .email = task.auth->email,
                           .server = task.auth->server_address.empty() ? registry : task.auth->server_address,
                           .identity_token = ""};
    }
    if (!plugin.auth) return Credentials();
    if (!plugin.auth->config.empty()) {
        DROVER_TRY(Credentials found, from_config(plugin.auth->config, registry));
        if (!found.empty()) return found;
    }
    if (!plugin.auth->helper.empty()) return from_helper(plugin.auth->helper, registry);
    return Credentials();
}

std::string auth_header(const Credentials& credentials) {
    if (credentials.empty()) return "";
    json value{{"serveraddress", credentials.server}};
    if (!credentials.identity_token.empty()) {
        value["identitytoken"] = credentials.identity_token;
    } else {
        value["username"] = credentials.username;
        value["password"] = credentials.password;
        if (!credentials.email.empty()) value["email"] = credentials.email;
    }
    std::string text = base64_encode(value.dump(-1, ' ', false, json::error_handler_t::replace));
    return replace_all(replace_all(text, "+", "-"), "/", "_");  // the URL's alphabet
}

}  // namespace drover::drivers
