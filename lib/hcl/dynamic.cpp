// SPDX-License-Identifier: Apache-2.0
// `dynamic` blocks, expanded lazily: ExpandedBody asks the body below for the wanted blocks and for `dynamic`
// ones, and gives what they make a scope with the iterator.
#include <set>

#include <fmt/format.h>

#include "hcl/ast.h"
#include "hcl/body.h"
#include "hcl/convert.h"
#include "hcl/limits.h"
#include "hcl/operations.h"

namespace drover::hcl {

namespace {

// The iterators around a generated block, inner ones first found. Held by every expression inside it.
struct Iteration {
    std::string name;
    Value key, value;
    std::shared_ptr<const Iteration> outer;

    void bind(EvalContext& scope) const {
        if (outer) outer->bind(scope);
        scope.variables[name] = Value::object({{"key", key}, {"value", value}});
    }
    bool binds(const std::string& root) const { return root == name || (outer && outer->binds(root)); }
};
using IterationPtr = std::shared_ptr<const Iteration>;

// An expression of a generated block: evaluated with the iterators in scope.
class ScopedExpression : public Expression {
 public:
    ScopedExpression(ExpressionPtr inner, IterationPtr iteration)
        : Expression(inner->range(), inner->depth() + 1),
          inner_(std::move(inner)),
          iteration_(std::move(iteration)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override {
        EvalContext scope(&context);
        iteration_->bind(scope);
        return inner_->evaluate(scope, diagnostics);
    }
    void collect_variables(std::vector<Traversal>& out) const override {
        for (Traversal& traversal : inner_->variables()) {
            if (!iteration_->binds(traversal.root())) out.push_back(std::move(traversal));
        }
    }
    std::optional<Traversal> as_traversal() const override { return inner_->as_traversal(); }
    std::optional<StaticCall> as_call() const override { return inner_->as_call(); }
    std::optional<std::vector<ExpressionPtr>> as_list() const override { return inner_->as_list(); }
    std::optional<std::vector<std::pair<ExpressionPtr, ExpressionPtr>>> as_map() const override {
        return inner_->as_map();
    }

 private:
    ExpressionPtr inner_;
    IterationPtr iteration_;
};

class ExpandedBody : public Body {
 public:
    ExpandedBody(BodyPtr inner, const EvalContext& context, IterationPtr iteration,
                 std::set<std::string> taken = {})
        : inner_(std::move(inner)),
          context_(context),
          iteration_(std::move(iteration)),
          taken_(std::move(taken)) {}

    BodyContent content(const BodySchema& schema, Diagnostics& diagnostics) const override {
        return expand(inner_->content(with_dynamic(schema), diagnostics), schema, Others::Refuse,
                      diagnostics);
    }

    BodyContent partial_content(const BodySchema& schema, BodyPtr* remain,
                                Diagnostics& diagnostics) const override {
        BodyContent found = inner_->partial_content(with_dynamic(schema), nullptr, diagnostics);
        if (remain) {
            // The `dynamic` blocks stay in the rest: a later call may want the types that this one does not.
            BodyPtr rest;
            Diagnostics said_already;
            inner_->partial_content(schema, &rest, said_already);
            std::set<std::string> taken = taken_;
            for (const BlockSchema& block : schema.blocks) taken.insert(block.type);
            *remain =
                std::make_shared<const ExpandedBody>(std::move(rest), context_, iteration_, std::move(taken));
        }
        return expand(std::move(found), schema, Others::Leave, diagnostics);
    }

    std::map<std::string, Attribute> just_attributes(Diagnostics& diagnostics) const override {
        std::map<std::string, Attribute> out = inner_->just_attributes(diagnostics);
        for (auto& [name, attribute] : out) scope(attribute);
        return out;
    }

    Everything everything(Diagnostics& diagnostics) const override {
        Everything out = inner_->everything(diagnostics);
        for (Attribute& attribute : out.attributes) scope(attribute);
        std::vector<Block> blocks;
        for (Block& block : out.blocks) {
            if (block.type == "dynamic" && block.labels.size() == 1) {
                if (taken_.count(block.labels[0])) continue;
                generate(block, nullptr, blocks, diagnostics);
            } else {
                block.body = wrap(block.body, iteration_);
                blocks.push_back(std::move(block));
            }
        }
        out.blocks = std::move(blocks);
        return out;
    }

    Range missing_item_range() const override { return inner_->missing_item_range(); }

 private:
    static BodySchema with_dynamic(BodySchema schema) {
        schema.blocks.push_back({"dynamic", {"type"}});
        return schema;
    }
    BodyPtr wrap(BodyPtr body, IterationPtr iteration) const {
        return std::make_shared<const ExpandedBody>(std::move(body), context_, std::move(iteration));
    }
    void scope(Attribute& attribute) const {
        if (iteration_)
            attribute.expression = std::make_shared<const ScopedExpression>(attribute.expression, iteration_);
    }

    enum class Others { Refuse, Leave };
    BodyContent expand(BodyContent found, const BodySchema& schema, Others others,
                       Diagnostics& diagnostics) const {
        for (auto& [name, attribute] : found.attributes) scope(attribute);
        std::vector<Block> blocks;
        for (Block& block : found.blocks) {
            if (block.type != "dynamic") {
                block.body = wrap(block.body, iteration_);
                blocks.push_back(std::move(block));
                continue;
            }
            if (taken_.count(block.labels[0])) continue;
            const BlockSchema* wanted = nullptr;
            std::vector<std::string> types;
            for (const BlockSchema& candidate : schema.blocks) {
                types.push_back(candidate.type);
                if (candidate.type == block.labels[0]) wanted = &candidate;
            }
            if (wanted) {
                generate(block, wanted, blocks, diagnostics);
            } else if (others == Others::Refuse) {
                diagnostics.error("Unsupported block type",
                                  fmt::format("Blocks of type {} are not expected here.{}",
                                              quote(block.labels[0]), suggestion(block.labels[0], types)),
                                  block.label_ranges[0], block.def_range);
            }
        }
        found.blocks = std::move(blocks);
        return found;
    }

    struct Spec {
        std::string iterator;
        std::vector<std::pair<Value, Value>> items;
        std::vector<ExpressionPtr> labels;
        const Block* content = nullptr;
    };

    // What for_each gives; false after an error.
    bool read_items(const Attribute& for_each, Spec& spec, Diagnostics& diagnostics) const {
        constexpr const char* kInvalid = "Invalid dynamic for_each value";
        EvalContext scoped(&context_);
        if (iteration_) iteration_->bind(scoped);
        size_t before = diagnostics.error_count();
        Value items = for_each.expression->evaluate(scoped, diagnostics);
        if (diagnostics.error_count() != before) return false;
        auto refuse = [&](const char* why) {
            diagnostics.error(kInvalid, why, for_each.expression->range());
            return false;
        };
        if (items.is_null()) return refuse("Cannot use a null value in for_each.");
        if (!items.is_known()) return refuse("Cannot use a value that is not known in for_each.");
        if (!is_iterable(items.type())) {
            diagnostics.error(
                kInvalid,
                fmt::format("Cannot use a {} value in for_each. An iterable collection is required.",
                            items.type().friendly_name()),
                for_each.expression->range());
            return false;
        }
        spec.items = iterate(items);
        if (spec.items.size() > kDynamicBlocksMax)
            return refuse("There are too many elements to make a block for each.");
        return true;
    }

    bool read_spec(const BodyContent& content, const Block& block, const BlockSchema* wanted, Spec& spec,
                   Diagnostics& diagnostics) const {
        const Attribute* for_each = content.attribute("for_each");
        if (!for_each) return false;  // said by content()
        spec.iterator = block.labels[0];
        if (const Attribute* iterator = content.attribute("iterator")) {
            std::optional<std::string> name = iterator->expression->as_keyword();
            if (!name) {
                diagnostics.error("Invalid expression",
                                  "The iterator of a dynamic block must be a single variable name.",
                                  iterator->expression->range());
                return false;
            }
            spec.iterator = *name;
        }
        if (const Attribute* labels = content.attribute("labels")) {
            auto list = labels->expression->as_list();
            if (!list) {
                diagnostics.error("Invalid dynamic block labels",
                                  "The labels of a dynamic block must be a list of expressions.",
                                  labels->expression->range());
                return false;
            }
            spec.labels = std::move(*list);
        }
        if (wanted && spec.labels.size() != wanted->label_names.size()) {
            diagnostics.error(
                spec.labels.size() < wanted->label_names.size() ? "Insufficient dynamic block labels"
                                                                : "Extraneous dynamic block label",
                fmt::format("Blocks of type {} require {} label(s){}{}.", quote(block.labels[0]),
                            wanted->label_names.size(), wanted->label_names.empty() ? "" : ": ",
                            fmt::join(wanted->label_names, ", ")),
                content.missing_item_range, block.def_range);
            return false;
        }
        std::vector<const Block*> bodies = content.blocks_of("content");
        if (bodies.size() != 1) {
            diagnostics.error(
                bodies.empty() ? "Missing dynamic content block" : "Extraneous dynamic content block",
                "A dynamic block must have exactly one nested block of type \"content\" to describe the body "
                "of each "
                "generated block.",
                bodies.empty() ? content.missing_item_range : bodies[1]->def_range, block.def_range);
            return false;
        }
        spec.content = bodies[0];
        return read_items(*for_each, spec, diagnostics);
    }

    // The blocks a `dynamic` block makes, at the end of `out`. Without `wanted` any number of labels goes.
    void generate(const Block& block, const BlockSchema* wanted, std::vector<Block>& out,
                  Diagnostics& diagnostics) const {
        static const BodySchema kSchema{{{"for_each", true}, {"iterator", false}, {"labels", false}},
                                        {{"content", {}}}};
        BodyContent content = block.body->content(kSchema, diagnostics);
        Spec spec;
        if (!read_spec(content, block, wanted, spec, diagnostics)) return;
        for (auto& [key, value] : spec.items) {
            auto iteration =
                std::make_shared<const Iteration>(Iteration{spec.iterator, key, value, iteration_});
            EvalContext scoped(&context_);
            iteration->bind(scoped);
            if (!context_.budget().spend(kStepCost)) return report_exhausted(block.def_range, diagnostics);
            Block made;
            made.type = block.labels[0];
            made.type_range = block.label_ranges[0];
            made.def_range = block.def_range;
            made.body = wrap(spec.content->body, iteration);
            bool ok = true;
            for (const ExpressionPtr& expression : spec.labels) {
                Value label = evaluate_as(*expression, scoped, Type::string(), "labels", diagnostics);
                ok = ok && label.has_value();
                if (label.is_null())
                    diagnostics.error("Invalid dynamic block label",
                                      "Cannot use a null value as a block label.", expression->range());
                if (!ok) break;
                made.labels.push_back(label.as_string());
                made.label_ranges.push_back(expression->range());
            }
            if (!ok) return;
            out.push_back(std::move(made));
        }
    }

    BodyPtr inner_;
    const EvalContext& context_;
    IterationPtr iteration_;
    std::set<std::string> taken_;  // block types an earlier partial_content() handed out
};

}  // namespace

BodyPtr expand_dynamic(BodyPtr body, const EvalContext& context) {
    return std::make_shared<const ExpandedBody>(std::move(body), context, nullptr);
}

}  // namespace drover::hcl
