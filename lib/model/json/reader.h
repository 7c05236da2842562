// SPDX-License-Identifier: Apache-2.0
// A strict JSON tokenizer over a text that stays alive: one pass, no tree. Errors name line and column. Only
// for model/json.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover::model::json {

// Length of the UTF-8 sequence at `at`, 0 when it is none.
size_t utf8_length(std::string_view text, size_t at);

class Reader {
 public:
    explicit Reader(std::string_view text) : text_(text) {}

    enum class Kind { Null, Bool, Number, String, List, Object, Broken };
    // What comes next, without consuming it.
    Kind peek();
    // "a number", `string "x"`: for messages. Consumes nothing.
    std::string describe();

    Status null();
    Result<bool> boolean();
    Result<std::string_view> number();  // the token, checked for JSON's grammar
    Result<std::string> string();       // unescaped, always valid UTF-8
    // Lists and objects: begin, then while (more()) ..., which also takes commas and the closing bracket.
    Status begin(char bracket);
    Result<bool> more(char closing, bool first);
    Result<std::string> key();  // a member's name and its colon
    Status skip();              // any value
    Status end();               // nothing but space may follow

    Error fail(std::string_view expected);

 private:
    void space();
    Status literal(std::string_view word);
    Status escape(std::string& out);
    Result<uint32_t> hex4();

    static constexpr int kDepthMax = 128;
    std::string_view text_;
    size_t at_ = 0;
    int depth_ = 0;
};

}  // namespace drover::model::json
