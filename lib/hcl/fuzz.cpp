// SPDX-License-Identifier: Apache-2.0
// libFuzzer: any bytes as native syntax, JSON, an expression, a template and YAML; everything that parses is
// evaluated too, with all functions. Must end within the limits, never crash, never leak. Seeds:
// tests/fuzz/seeds/hcl.
#include <cstdint>

#include "hcl/function_tables.h"
#include "hcl/functions.h"
#include "hcl/parser.h"

namespace {

using namespace drover::hcl;

void evaluate_all(const Body& body, const EvalContext& context, Diagnostics& diagnostics, int depth) {
    if (depth > 300) return;
    Body::Everything all = body.everything(diagnostics);
    for (const Attribute& attribute : all.attributes) {
        Value value = attribute.expression->evaluate(context, diagnostics);
        static_cast<void>(value.weight() < 1u << 20 ? value.text().size() : 0);
        static_cast<void>(attribute.expression->variables());
        static_cast<void>(type_from_expression(*attribute.expression, diagnostics));
    }
    for (const Block& block : all.blocks) evaluate_all(*block.body, context, diagnostics, depth + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static const Functions functions = job_functions(closed_environment());
    std::string_view text(reinterpret_cast<const char*>(data), size);
    EvalContext context;
    context.set_budget(1u << 20);
    context.functions = &functions;
    context.unknown_root = keep_literally;
    context.variables["var"] = Value::object({{"n", Value::number(3)}, {"s", Value::string("x")}});
    for (auto parse_text : {parse_native, parse_json, parse_hcl1}) {
        Diagnostics diagnostics;
        File file = parse_text(text, "f", diagnostics);
        evaluate_all(*expand_dynamic(file.body, context), context, diagnostics, 0);
        for (const Diagnostic& diagnostic : diagnostics)
            static_cast<void>(diagnostic.terminal_text(file.source));
        const BodySchema schema{{{"a", true}}, {{"job", {"name"}}, {"b", {}}}};
        BodyPtr rest;
        expand_dynamic(file.body, context)->partial_content(schema, &rest, diagnostics);
        file.body->content(schema, diagnostics);
        fold_case(file.body)->content(schema, diagnostics);
    }
    Diagnostics diagnostics;
    if (ExpressionPtr expression = parse_expression(text, "f", diagnostics))
        expression->evaluate(context, diagnostics);
    if (ExpressionPtr expression = parse_template(text, "f", diagnostics))
        expression->evaluate(context, diagnostics);
    auto yaml = yaml_decode(text);
    if (yaml && yaml->weight() < 1u << 16) static_cast<void>(yaml_encode(*yaml));
    return 0;
}
