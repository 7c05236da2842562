// SPDX-License-Identifier: Apache-2.0
// See variables.h. Values are taken weakest first: default, environment, files in order, flags in order.
#include "jobspec/variables.h"

#include <set>

#include "base/strings.h"
#include "hcl/convert.h"
#include "hcl/parser.h"

namespace drover::jobspec {

namespace {

struct Validation {
    hcl::ExpressionPtr condition;
    hcl::ExpressionPtr message;
    hcl::Range range;
};

struct Variable {
    std::string name;
    hcl::Type type = hcl::Type::any();
    std::optional<hcl::Value> value;
    std::vector<Validation> validations;
    hcl::Range range;
};

class Resolver {
 public:
    Resolver(const hcl::Functions& functions, hcl::Diagnostics& diagnostics) : diagnostics_(diagnostics) {
        context_.functions = &functions;
        context_.variables_allowed = false;
    }

    void declare(const hcl::Block& block);
    void declare_legacy(const hcl::Block& block);
    void give_environment(const std::map<std::string, std::string>& environment);
    void give_file(const JobSource::VariableFile& file, bool strict);
    void give_flag(const std::string& name, const std::string& text, bool strict);
    Variables finish();

 private:
    bool add(Variable variable);
    void read_type(const hcl::BodyContent& content, Variable& variable);
    void read_default(const hcl::BodyContent& content, Variable& variable);
    void read_validations(const hcl::BodyContent& content, Variable& variable);
    void give_text(Variable& variable, const std::string& text, const std::string& origin);
    void give(Variable& variable, const hcl::Value& value, const hcl::Range& range);
    void check(const Variable& variable);
    void undeclared(const std::string& summary, const std::string& name, const std::string& how, bool strict,
                    const hcl::Range& range);

    std::map<std::string, Variable> variables_;
    hcl::EvalContext context_;
    hcl::Diagnostics& diagnostics_;
};

bool Resolver::add(Variable variable) {
    auto found = variables_.find(variable.name);
    if (found != variables_.end()) {
        diagnostics_.error("Duplicate variable",
                           fmt::format("Duplicate {} variable definition found; the first is at {}.",
                                       variable.name, found->second.range.text()),
                           variable.range);
        return false;
    }
    variables_.emplace(variable.name, std::move(variable));
    return true;
}

void Resolver::read_type(const hcl::BodyContent& content, Variable& variable) {
    if (const auto* type = content.attribute("type"))
        variable.type = hcl::type_from_expression(*type->expression, diagnostics_);
}

void Resolver::read_default(const hcl::BodyContent& content, Variable& variable) {
    const auto* found = content.attribute("default");
    if (found == nullptr) return;
    auto value = found->expression->evaluate(context_, diagnostics_);
    auto converted = hcl::convert(value, variable.type);
    if (!converted) {
        diagnostics_.error(
            "Invalid default value for variable",
            fmt::format("This default value is not compatible with the variable's type constraint: {}.",
                        converted.error().message()),
            found->expression->range());
        return;
    }
    variable.value = std::move(*converted);
}

void Resolver::read_validations(const hcl::BodyContent& content, Variable& variable) {
    const hcl::BodySchema schema{{{"condition", true}, {"error_message", true}}, {}};
    for (const auto* block : content.blocks_of("validation")) {
        auto rule = block->body->content(schema, diagnostics_);
        const auto* condition = rule.attribute("condition");
        const auto* message = rule.attribute("error_message");
        if (condition && message)
            variable.validations.push_back(
                {condition->expression, message->expression, condition->expression->range()});
    }
}

void Resolver::declare(const hcl::Block& block) {
    const hcl::BodySchema schema{{{"type"}, {"default"}, {"description"}, {"sensitive"}},
                                 {{"validation", {}}}};
    if (block.labels.empty()) return;
    Variable variable;
    variable.name = block.labels[0];
    variable.range = block.def_range;
    if (!hcl::is_identifier(variable.name)) {
        diagnostics_.error(
            "Invalid variable name",
            "A name must start with a letter or underscore and may contain only letters, digits, "
            "underscores, and dashes.",
            block.label_ranges.empty() ? block.def_range : block.label_ranges[0]);
        return;
    }
    auto content = block.body->content(schema, diagnostics_);
    read_type(content, variable);
    read_default(content, variable);
    read_validations(content, variable);
    add(std::move(variable));
}

void Resolver::declare_legacy(const hcl::Block& block) {
    for (const auto& [name, attribute] : block.body->just_attributes(diagnostics_)) {
        Variable variable;
        variable.name = name;
        variable.range = attribute.range;
        variable.value = attribute.expression->evaluate(context_, diagnostics_);
        variable.type = variable.value->type();
        // Tuples and objects are only literal forms: another list or map may be given.
        if (!variable.type.is_primitive()) variable.type = hcl::Type::any();
        add(std::move(variable));
    }
}

void Resolver::undeclared(const std::string& summary, const std::string& name, const std::string& how,
                          bool strict, const hcl::Range& range) {
    std::vector<std::string> known;
    for (const auto& [each, variable] : variables_) known.push_back(each);
    auto suggestion = closest(name, known);
    std::string detail =
        fmt::format("A {} variable was {} but was not found in known variables.{}", hcl::quote(name), how,
                    suggestion ? fmt::format(" Did you mean {}?", hcl::quote(*suggestion)) : "");
    if (strict)
        diagnostics_.error(summary, detail, range);
    else
        diagnostics_.warning(summary, detail, range);
}

void Resolver::give(Variable& variable, const hcl::Value& value, const hcl::Range& range) {
    if (!value.is_known()) return;  // its evaluation has said why
    auto converted = hcl::convert(value, variable.type);
    if (converted) {
        variable.value = std::move(*converted);
        return;
    }
    diagnostics_.error(
        "Invalid value for variable",
        fmt::format("The value given for {} is not compatible with the variable's type constraint: {}.",
                    hcl::quote(variable.name), converted.error().message()),
        range);
}

// Text from outside is taken as it is where a string or number is wanted, else it is an HCL expression. Where
// nothing is declared, brackets tell.
void Resolver::give_text(Variable& variable, const std::string& text, const std::string& origin) {
    std::string filename = fmt::format("<value for var.{} from {}>", variable.name, origin);
    hcl::Range range{filename, {}, {}};
    bool literal = variable.type.kind() == hcl::Kind::String || variable.type.kind() == hcl::Kind::Number;
    auto first = text.find_first_not_of(" \t\r\n");
    if (variable.type.is_any())
        literal = first == std::string::npos || (text[first] != '[' && text[first] != '{');
    if (literal) return give(variable, hcl::Value::string(text), range);
    auto expression = hcl::parse_expression(text, filename, diagnostics_);
    if (expression == nullptr) return;
    give(variable, expression->evaluate(context_, diagnostics_), expression->range());
}

void Resolver::give_environment(const std::map<std::string, std::string>& environment) {
    for (auto& [name, variable] : variables_) {
        auto found = environment.find(name);
        if (found != environment.end()) give_text(variable, found->second, "environment");
    }
}

void Resolver::give_file(const JobSource::VariableFile& source, bool strict) {
    auto file = ends_with(source.filename, ".json")
                    ? hcl::parse_json(source.text, source.filename, diagnostics_)
                    : hcl::parse(source.text, source.filename, diagnostics_);
    if (diagnostics_.has_errors()) return;
    for (const auto& [name, attribute] : file.body->just_attributes(diagnostics_)) {
        auto found = variables_.find(name);
        if (found == variables_.end())
            undeclared("Undefined variable", name, "set in a variable file", strict, attribute.name_range);
        else
            give(found->second, attribute.expression->evaluate(context_, diagnostics_),
                 attribute.expression->range());
    }
}

void Resolver::give_flag(const std::string& name, const std::string& text, bool strict) {
    auto found = variables_.find(name);
    if (found == variables_.end())
        return undeclared("Undefined -var variable", name, "passed in the command line", strict,
                          {fmt::format("<value for var.{} from arguments>", name), {}, {}});
    give_text(found->second, text, "arguments");
}

void Resolver::check(const Variable& variable) {
    hcl::EvalContext context;
    context.functions = context_.functions;
    context.variables["var"] = hcl::Value::object({{variable.name, *variable.value}});
    for (const auto& rule : variable.validations) {
        auto result =
            hcl::evaluate_as(*rule.condition, context, hcl::Type::boolean(), "condition", diagnostics_);
        if (!result.has_value() || result.as_bool()) continue;
        auto message =
            hcl::evaluate_as(*rule.message, context, hcl::Type::string(), "error_message", diagnostics_);
        diagnostics_.error("Invalid value for variable",
                           fmt::format("{} This was checked by the validation rule at {}.",
                                       message.has_value() ? message.as_string() : "", rule.range.text()),
                           variable.range);
    }
}

Variables Resolver::finish() {
    Variables out;
    hcl::Value::Mapping values;
    for (const auto& [name, variable] : variables_) {
        if (variable.value)
            check(variable);
        else
            out.unset.push_back(name);
        values[name] = variable.value.value_or(hcl::Value::unknown(variable.type));
    }
    out.values = hcl::Value::object(std::move(values));
    return out;
}

}  // namespace

Variables resolve_variables(const std::vector<const hcl::Block*>& variable_blocks,
                            const std::vector<const hcl::Block*>& variables_blocks, const JobSource& source,
                            const hcl::Functions& functions, hcl::Diagnostics& diagnostics) {
    Resolver resolver(functions, diagnostics);
    for (const auto* block : variable_blocks) resolver.declare(*block);
    for (const auto* block : variables_blocks) resolver.declare_legacy(*block);
    resolver.give_environment(source.environment);
    for (const auto& file : source.variable_files) resolver.give_file(file, source.strict);
    for (const auto& [name, text] : source.variable_flags) resolver.give_flag(name, text, source.strict);
    return resolver.finish();
}

namespace {

struct Local {
    hcl::ExpressionPtr expression;
    hcl::Range range;
    std::set<std::string> needs;  // other locals
};

std::map<std::string, Local> collect_locals(const std::vector<const hcl::Block*>& blocks,
                                            hcl::Diagnostics& diagnostics) {
    std::map<std::string, Local> locals;
    for (const auto* block : blocks) {
        for (const auto& [name, attribute] : block->body->just_attributes(diagnostics)) {
            auto [found, fresh] = locals.emplace(name, Local{attribute.expression, attribute.name_range, {}});
            if (!fresh)
                diagnostics.error("Duplicate value in locals",
                                  fmt::format("Duplicate {} definition found; the first is at {}.", name,
                                              found->second.range.text()),
                                  attribute.name_range);
        }
    }
    for (auto& [name, local] : locals)
        for (const auto& traversal : local.expression->variables())
            if (traversal.root() == "local" && traversal.steps.size() > 1 &&
                locals.contains(traversal.steps[1].name))
                local.needs.insert(traversal.steps[1].name);
    return locals;
}

}  // namespace

hcl::Value resolve_locals(const std::vector<const hcl::Block*>& blocks, const hcl::EvalContext& context,
                          hcl::Diagnostics& diagnostics) {
    auto pending = collect_locals(blocks, diagnostics);
    hcl::Value::Mapping done;
    bool progress = true;
    while (!pending.empty() && progress) {
        progress = false;
        for (auto it = pending.begin(); it != pending.end();) {
            bool ready = true;
            for (const auto& need : it->second.needs) ready = ready && done.contains(need);
            if (!ready) {
                ++it;
                continue;
            }
            hcl::EvalContext scope(&context);
            scope.variables["local"] = hcl::Value::object(done);
            done[it->first] = it->second.expression->evaluate(scope, diagnostics);
            it = pending.erase(it);
            progress = true;
        }
    }
    for (const auto& [name, local] : pending) {
        diagnostics.error("Circular locals",
                          fmt::format("The value of local.{} depends on itself, by way of: {}.", name,
                                      join({local.needs.begin(), local.needs.end()}, ", ")),
                          local.range);
        done[name] = hcl::Value::unknown();
    }
    return hcl::Value::object(std::move(done));
}

namespace {

void report_uses(const hcl::Body& body, std::set<std::string>& unset, hcl::Diagnostics& diagnostics) {
    hcl::Diagnostics ignored;  // said again, and better, by the decoding
    auto all = body.everything(ignored);
    for (const auto& attribute : all.attributes) {
        for (const auto& traversal : attribute.expression->variables()) {
            if (traversal.root() != "var" || traversal.steps.size() < 2) continue;
            if (unset.erase(traversal.steps[1].name) == 0) continue;
            diagnostics.error(fmt::format("Unset variable {}", hcl::quote(traversal.steps[1].name)),
                              "A used variable must be set or have a default value.", traversal.range);
        }
    }
    for (const auto& block : all.blocks) report_uses(*block.body, unset, diagnostics);
}

}  // namespace

void report_unset(const hcl::Body& body, const std::vector<std::string>& unset,
                  hcl::Diagnostics& diagnostics) {
    std::set<std::string> names(unset.begin(), unset.end());
    if (!names.empty()) report_uses(body, names, diagnostics);
}

}  // namespace drover::jobspec
