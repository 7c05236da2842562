// SPDX-License-Identifier: Apache-2.0
#include "cli/plugin_check_config.h"

#include "agent/host/config_schema.h"
#include "base/files.h"
#include "hcl/convert.h"
#include "hcl/functions.h"
#include "hcl/parser.h"
#include "jobspec/decode.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

using sdk::testing::ConfigSource;
using sdk::testing::SuiteConfig;
using sdk::testing::SuiteExec;
using sdk::testing::SuiteTask;

ConfigSource by_schema(std::shared_ptr<const model::MapValue> config) {
    return [config](const sdk::HclSpec& spec) -> Result<std::string> {
        DROVER_TRY(agent::ConfigSchema schema, agent::ConfigSchema::compile(spec));
        return schema.to_msgpack(*config, nullptr);
    };
}

class Reader {
 public:
    explicit Reader(hcl::Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

    SuiteConfig read(const hcl::Body& body) {
        SuiteConfig out;
        const auto content = body.content(
            {.attributes = {}, .blocks = {{"plugin", {}}, {"task", {"name"}}, {"exec", {}}}}, diagnostics_);
        for (const hcl::Block& block : content.blocks) {
            if (block.type == "plugin")
                out.plugin = config(block);
            else if (block.type == "exec")
                out.exec = exec(block);
            else if (block.labels[0] == "running")
                out.running = task(block);
            else if (block.labels[0] == "ending")
                out.ending = task(block);
            else
                diagnostics_.error(
                    "Unknown task",
                    "Expected task \"running\" or task \"ending\", found \"" + block.labels[0] + "\".",
                    block.def_range);
        }
        if (out.running.has_value() != out.ending.has_value())
            diagnostics_.error("Missing task",
                               "Expected both a task \"running\" and a task \"ending\", found one.",
                               content.missing_item_range);
        return out;
    }

 private:
    ConfigSource config(const hcl::Block& block) {
        auto values = std::make_shared<model::MapValue>();
        jobspec::free_form(*block.body, context_, *values, diagnostics_);
        return by_schema(std::move(values));
    }

    // Null when it is absent, or an error was said.
    hcl::Value value(const hcl::BodyContent& content, const std::string& name, const hcl::Type& type) {
        const hcl::Attribute* attribute = content.attribute(name);
        if (!attribute) return hcl::Value::null(type);
        hcl::Value found = attribute->expression->evaluate(context_, diagnostics_);
        auto converted = hcl::convert(found, type);
        if (converted) return std::move(*converted);
        diagnostics_.error("Incorrect attribute value type", converted.error().message(), attribute->range);
        return hcl::Value::null(type);
    }
    std::string text(const hcl::BodyContent& content, const std::string& name) {
        const hcl::Value found = value(content, name, hcl::Type::string());
        return found.is_null() || !found.is_known() ? "" : found.as_string();
    }
    int32_t exit_code(const hcl::BodyContent& content) {
        const hcl::Value found = value(content, "exit_code", hcl::Type::number());
        if (found.is_null() || !found.is_known()) return 0;
        const auto code = found.as_number().to_int64();
        if (code && *code >= 0 && *code <= 255) return static_cast<int32_t>(*code);
        diagnostics_.error("Unsuitable exit_code", "Expected a whole number from 0 to 255.",
                           content.attribute("exit_code")->range);
        return 0;
    }

    SuiteTask task(const hcl::Block& block) {
        const auto content = block.body->content(
            {.attributes = {{"exit_code"}, {"stdout"}, {"user"}}, .blocks = {{"config", {}}}}, diagnostics_);
        SuiteTask out;
        const auto configs = content.blocks_of("config");
        if (configs.size() != 1)
            diagnostics_.error("Missing config block",
                               fmt::format("Expected one config block, found {}.", configs.size()),
                               block.def_range);
        out.config = configs.empty() ? empty_check_config() : config(*configs[0]);
        out.exit_code = exit_code(content);
        out.stdout_text = text(content, "stdout");
        out.user = text(content, "user");
        return out;
    }

    SuiteExec exec(const hcl::Block& block) {
        const auto content = block.body->content(
            {.attributes = {{"command", true}, {"exit_code"}, {"stdout"}}, .blocks = {}}, diagnostics_);
        SuiteExec out;
        const hcl::Value command = value(content, "command", hcl::Type::list(hcl::Type::string()));
        if (!command.is_null() && command.is_wholly_known())
            for (const hcl::Value& word : command.as_sequence())
                out.command.push_back(word.is_null() ? "" : word.as_string());
        if (out.command.empty())
            diagnostics_.error("Missing command", "Expected a list with a program and its arguments.",
                               block.def_range);
        out.exit_code = exit_code(content);
        out.stdout_text = text(content, "stdout");
        return out;
    }

    hcl::Diagnostics& diagnostics_;
    hcl::EvalContext context_;
};

}  // namespace

ConfigSource empty_check_config() {
    return by_schema(std::make_shared<model::MapValue>());
}

Result<SuiteConfig> read_check_config(const std::string& path) {
    DROVER_TRY(const std::string text, read_file(path));
    hcl::Diagnostics diagnostics;
    const hcl::File file = hcl::parse(text, path, diagnostics);
    SuiteConfig out;
    if (!diagnostics.has_errors()) out = Reader(diagnostics).read(*file.body);
    DROVER_CHECK(diagnostics.status());
    return out;
}

}  // namespace drover::cli
