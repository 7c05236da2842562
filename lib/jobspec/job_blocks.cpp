// SPDX-License-Identifier: Apache-2.0
// See job_blocks.h.
#include "jobspec/job_blocks.h"

#include "base/clock.h"
#include "proto/model/job.pb.h"

namespace drover::jobspec {

namespace {

using google::protobuf::Message;

// ---- constraint and affinity ----

struct ShortForm {
    const char* name;
    bool in_constraint;  // false: accepted there, and dropped, as job files have always had it
};
constexpr ShortForm kShortForms[] = {
    {"version", true},           {"semver", true},           {"regexp", true}, {"set_contains", true},
    {"set_contains_all", false}, {"set_contains_any", false}};

// An attribute as text (numbers and bools too); nullopt when absent or null.
std::optional<std::string> text_of(const hcl::BodyContent& content, const std::string& name,
                                   const hcl::EvalContext& context, hcl::Diagnostics& diagnostics) {
    const auto* attribute = content.attribute(name);
    if (attribute == nullptr) return std::nullopt;
    auto value = hcl::evaluate_as(*attribute->expression, context, hcl::Type::string(), name, diagnostics);
    if (!value.has_value()) return std::nullopt;
    return value.as_string();
}

void decode_constraint(const hcl::Block& block, const hcl::EvalContext& context, Message& message,
                       hcl::Diagnostics& diagnostics) {
    hcl::BodySchema schema{{{"attribute"},
                            {"operator"},
                            {"value"},
                            {"distinct_hosts"},
                            {"distinct_property"},
                            {"is_set"},
                            {"is_not_set"}},
                           {}};
    for (const auto& form : kShortForms) schema.attributes.push_back({form.name});
    auto content = block.body->content(schema, diagnostics);
    auto text = [&](const std::string& name) { return text_of(content, name, context, diagnostics); };
    auto& out = static_cast<model::Constraint&>(message);
    out.set_l_target(text("attribute").value_or(""));
    out.set_r_target(text("value").value_or(""));
    out.set_operand(text("operator").value_or("="));
    for (const auto& form : kShortForms) {
        auto value = text(form.name);
        if (!value || !form.in_constraint) continue;
        out.set_operand(form.name);
        out.set_r_target(*value);
    }
    if (auto property = text("distinct_property")) {
        out.set_operand("distinct_property");
        out.set_l_target(*property);
    }
    if (const auto* hosts = content.attribute("distinct_hosts")) {
        auto value = hcl::evaluate_as(*hosts->expression, context, hcl::Type::boolean(), "distinct_hosts",
                                      diagnostics);
        out.set_operand("distinct_hosts");
        if (value.has_value()) out.set_r_target(value.as_bool() ? "true" : "false");
    }
}

void decode_affinity(const hcl::Block& block, const hcl::EvalContext& context, Message& message,
                     hcl::Diagnostics& diagnostics) {
    hcl::BodySchema schema{{{"attribute"}, {"operator"}, {"value"}, {"weight"}}, {}};
    for (const auto& form : kShortForms) schema.attributes.push_back({form.name});
    auto content = block.body->content(schema, diagnostics);
    auto text = [&](const std::string& name) { return text_of(content, name, context, diagnostics); };
    auto& out = static_cast<model::Affinity&>(message);
    out.set_l_target(text("attribute").value_or(""));
    out.set_r_target(text("value").value_or(""));
    out.set_operand(text("operator").value_or("="));
    for (const auto& form : kShortForms) {
        auto value = text(form.name);
        if (!value) continue;
        out.set_operand(form.name);
        out.set_r_target(*value);
    }
    const auto* weight = content.attribute("weight");
    if (weight == nullptr) return;
    auto value = hcl::evaluate_as(*weight->expression, context, hcl::Type::number(), "weight", diagnostics);
    if (!value.has_value()) return;
    auto whole = value.as_number().to_int64();
    if (whole && *whole >= -128 && *whole <= 127) return out.set_weight(static_cast<int32_t>(*whole));
    diagnostics.error("Unsuitable value type",
                      "Unsuitable value: weight must be a whole number from -100 to 100",
                      weight->expression->range());
}

// ---- networks ----

// The parser sorts ports: those with a number of their own are reserved.
void sort_ports(model::NetworkResource& network) {
    google::protobuf::RepeatedPtrField<model::Port> dynamic;
    for (auto& port : *network.mutable_dynamic_ports())
        (port.value() > 0 ? network.add_reserved_ports() : dynamic.Add())->Swap(&port);
    network.mutable_dynamic_ports()->Swap(&dynamic);
}

// ---- parser defaults ----

void fill_template(model::Template& tmpl) {
    if (!tmpl.has_change_mode()) tmpl.set_change_mode("restart");
    if (!tmpl.has_perms()) tmpl.set_perms("0644");
    if (!tmpl.has_splay()) tmpl.set_splay(5 * kSecond);
    if (!tmpl.has_err_missing_key()) tmpl.set_err_missing_key(false);
    if (!tmpl.has_change_script()) return;
    auto& script = *tmpl.mutable_change_script();
    if (!script.has_timeout()) script.set_timeout(5 * kSecond);
    if (!script.has_fail_on_error()) script.set_fail_on_error(false);
}

void fill_vault(model::Vault& vault) {
    if (!vault.has_env()) vault.set_env(true);
    if (!vault.has_disable_file()) vault.set_disable_file(false);
    if (!vault.has_change_mode()) vault.set_change_mode("restart");
}

// ---- job, group, task ----

// vault and secret blocks that hold for every task inside.
struct Inherited {
    std::optional<model::Vault> vault;
    std::vector<model::Secret> secrets;
};

void inherit(const Inherited& from, model::Task& task) {
    if (from.vault && !task.has_vault()) *task.mutable_vault() = *from.vault;
    for (const auto& secret : from.secrets) *task.add_secrets() = secret;
}

class JobDecoder {
 public:
    JobDecoder();
    void job(const hcl::Body& body, const hcl::EvalContext& context, model::Job& job,
             hcl::Diagnostics& diagnostics);

 private:
    void group(const hcl::Block& block, const hcl::EvalContext& context, model::TaskGroup& group,
               hcl::Diagnostics& diagnostics);
    void task(const hcl::Block& block, const hcl::EvalContext& context, model::Task& task,
              hcl::Diagnostics& diagnostics);
    Inherited inherited(const hcl::BodyContent& content, const hcl::EvalContext& context,
                        hcl::Diagnostics& diagnostics);

    template <class T>
    void hook(void (JobDecoder::*method)(const hcl::Block&, const hcl::EvalContext&, T&, hcl::Diagnostics&)) {
        options_.hooks[T::descriptor()->full_name()] =
            [this, method](const hcl::Block& block, const hcl::EvalContext& context, Message& message,
                           hcl::Diagnostics& diagnostics) {
                (this->*method)(block, context, static_cast<T&>(message), diagnostics);
            };
    }
    void network(const hcl::Block& block, const hcl::EvalContext& context, model::NetworkResource& network,
                 hcl::Diagnostics& diagnostics) {
        decode_body(*block.body, context, network, diagnostics, options_);
        sort_ports(network);
    }

    DecodeOptions options_;
};

JobDecoder::JobDecoder() {
    options_.hooks["drover.model.Constraint"] = decode_constraint;
    options_.hooks["drover.model.Affinity"] = decode_affinity;
    hook(&JobDecoder::network);
    hook(&JobDecoder::group);
    hook(&JobDecoder::task);
}

Inherited JobDecoder::inherited(const hcl::BodyContent& content, const hcl::EvalContext& context,
                                hcl::Diagnostics& diagnostics) {
    Inherited out;
    auto vaults = content.blocks_of("vault");
    if (vaults.size() > 1)
        diagnostics.error("Duplicate vault block",
                          fmt::format("Only one vault block is allowed. Another was defined at {}.",
                                      vaults[0]->def_range.text()),
                          vaults[1]->def_range);
    if (!vaults.empty()) decode_block(*vaults[0], context, out.vault.emplace(), diagnostics, options_);
    for (const auto* block : content.blocks_of("secret"))
        decode_block(*block, context, out.secrets.emplace_back(), diagnostics, options_);
    return out;
}

void JobDecoder::task(const hcl::Block& block, const hcl::EvalContext& context, model::Task& task,
                      hcl::Diagnostics& diagnostics) {
    decode_body(*block.body, context, task, diagnostics, options_);
    google::protobuf::RepeatedPtrField<model::WorkloadIdentity> others;
    for (auto& identity : *task.mutable_identities()) {
        bool is_default = identity.name().empty() || identity.name() == "default";
        (is_default ? task.mutable_identity() : others.Add())->Swap(&identity);
    }
    task.mutable_identities()->Swap(&others);
    for (auto& policy : *task.mutable_scaling_policies()) {
        if (policy.type() == "cpu" || policy.type() == "mem") {
            policy.set_type("vertical_" + policy.type());
            continue;
        }
        diagnostics.error("Invalid scaling policy name",
                          R"(A task's scaling block must be named "cpu" or "mem".)", block.def_range);
    }
}

void JobDecoder::group(const hcl::Block& block, const hcl::EvalContext& context, model::TaskGroup& group,
                       hcl::Diagnostics& diagnostics) {
    hcl::BodyPtr rest;
    auto content =
        block.body->partial_content({{}, {{"vault", {}}, {"secret", {"name"}}}}, &rest, diagnostics);
    auto shared = inherited(content, context, diagnostics);
    decode_body(*rest, context, group, diagnostics, options_);
    if (group.has_scaling() && group.scaling().type().empty())
        group.mutable_scaling()->set_type("horizontal");
    for (auto& task : *group.mutable_tasks()) inherit(shared, task);
}

void JobDecoder::job(const hcl::Body& body, const hcl::EvalContext& context, model::Job& job,
                     hcl::Diagnostics& diagnostics) {
    hcl::BodyPtr rest;
    auto content = body.partial_content({{}, {{"vault", {}}, {"secret", {"name"}}, {"task", {"name"}}}},
                                        &rest, diagnostics);
    auto shared = inherited(content, context, diagnostics);
    // Tasks outside of groups come first, each in a group of its own name.
    for (const auto* block : content.blocks_of("task")) {
        auto& group = *job.add_task_groups();
        auto& task = *group.add_tasks();
        decode_block(*block, context, task, diagnostics, options_);
        group.set_name(task.name());
    }
    decode_body(*rest, context, job, diagnostics, options_);
    for (auto& group : *job.mutable_task_groups()) {
        for (auto& task : *group.mutable_tasks()) {
            inherit(shared, task);
            if (task.has_vault()) fill_vault(*task.mutable_vault());
            for (auto& tmpl : *task.mutable_templates()) fill_template(tmpl);
        }
    }
    if (job.has_periodic() && (job.periodic().has_spec() || !job.periodic().specs().empty()))
        job.mutable_periodic()->set_spec_type("cron");
}

}  // namespace

void decode_job(const hcl::Body& body, const hcl::EvalContext& context, model::Job& job,
                hcl::Diagnostics& diagnostics) {
    JobDecoder().job(body, context, job, diagnostics);
}

}  // namespace drover::jobspec
