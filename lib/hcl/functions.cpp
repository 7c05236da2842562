// SPDX-License-Identifier: Apache-2.0
// The function tables, put together; and the functions that look at expressions instead of values.
#include "hcl/functions.h"

#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/expression.h"
#include "hcl/function_tables.h"

namespace drover::hcl {

namespace {

class ClosedEnvironment : public FunctionEnvironment {
 public:
    explicit ClosedEnvironment(std::function<std::string(size_t)> random) : random_(std::move(random)) {}
    bool files_allowed() const override { return false; }
    std::string base_dir() const override { return "/"; }
    std::string home_dir() const override { return "/"; }
    Result<std::string> read_file(const std::string&) const override { return refusal(); }
    bool file_exists(const std::string&) const override { return false; }
    Result<std::vector<std::string>> files_below(const std::string&, size_t) const override {
        return refusal();
    }
    std::string random_bytes(size_t count) const override { return random_ ? random_(count) : ""; }

 private:
    static Error refusal() { return Error(Code::PermissionDenied, "files may not be read here"); }
    std::function<std::string(size_t)> random_;
};

CallResult try_each(const std::vector<const Expression*>& arguments, const EvalContext& context) {
    if (arguments.empty()) return call_error("at least one argument is required");
    std::string failures;
    for (const Expression* argument : arguments) {
        Diagnostics said;
        Value value = argument->evaluate(context, said);
        if (!said.has_errors()) return value;
        if (context.budget().exhausted()) break;
        for (const Diagnostic& diagnostic : said) {
            failures += fmt::format("\n- {} ({}): {}", diagnostic.summary, argument->range().text(),
                                    diagnostic.detail);
        }
    }
    return call_error("no expression succeeded:" + failures +
                      "\n\nAt least one expression must produce a successful result");
}

CallResult can_evaluate(const std::vector<const Expression*>& arguments, const EvalContext& context) {
    Diagnostics said;
    arguments[0]->evaluate(context, said);
    if (context.budget().exhausted()) return call_error("the expression is too expensive");
    return Value::boolean(!said.has_errors());
}

CallResult convert_to(const std::vector<const Expression*>& arguments, const EvalContext& context) {
    Diagnostics said;
    Type type = type_from_expression(*arguments[1], said);
    if (said.has_errors()) return argument_error(1, said[0].detail);
    Value value = arguments[0]->evaluate(context, said);
    if (said.has_errors()) return argument_error(0, said[0].summary + ": " + said[0].detail);
    Result<Value> converted = convert(value, type);
    if (!converted) return argument_error(0, converted.error().message());
    return std::move(*converted);
}

}  // namespace

void add_attempt_functions(Functions& table) {
    Function attempt;
    attempt.variadic = anything("expressions");
    attempt.lazy_call = try_each;
    table["try"] = std::move(attempt);
    Function can;
    can.parameters = {anything("expression")};
    can.result = Type::boolean();
    can.lazy_call = can_evaluate;
    table["can"] = std::move(can);
    Function conversion;
    conversion.parameters = {anything("value"), anything("type")};
    conversion.lazy_call = convert_to;
    table["convert"] = std::move(conversion);
}

std::shared_ptr<const FunctionEnvironment> closed_environment(std::function<std::string(size_t)> random) {
    return std::make_shared<const ClosedEnvironment>(std::move(random));
}

Functions job_functions(std::shared_ptr<const FunctionEnvironment> environment) {
    Functions table;
    add_number_functions(table);
    add_string_functions(table);
    add_collection_functions(table);
    add_set_functions(table);
    add_format_functions(table);
    add_time_functions(table);
    add_encoding_functions(table);
    add_address_functions(table);
    add_crypto_functions(table, environment);
    add_file_functions(table, std::move(environment));
    add_attempt_functions(table);
    // Only plugins' configurations have these.
    table.erase("hasindex");
    table.erase("int");
    table.erase("coalesce_any");
    return table;
}

Functions plugin_functions() {
    Functions all;
    add_number_functions(all);
    add_string_functions(all);
    add_collection_functions(all);
    add_encoding_functions(all);
    all["reverse"] = all.at("strrev");
    all["coalesce"] = all.at("coalesce_any");
    Functions table;
    for (const char* name : {"abs", "coalesce", "concat", "hasindex", "int", "jsondecode", "jsonencode",
                             "length", "lower", "max", "min", "reverse", "strlen", "substr", "upper"}) {
        table[name] = all.at(name);
    }
    return table;
}

}  // namespace drover::hcl
