// SPDX-License-Identifier: Apache-2.0
#include "api/exec_frames.h"

#include "base/strings.h"
#include "model/json/json.h"
#include "proto/model/model.pb.h"

namespace drover::api {
namespace {

using Fields = google::protobuf::Map<std::string, model::Value>;

Error wrong(std::string_view what) {
    return make_error(Code::InvalidArgument, "malformed exec message: {}", what);
}

Result<model::Value> parse_object(std::string_view json) {
    auto value = model::json::parse_value(json);
    if (!value) return wrong(value.error().message());
    if (!value->has_map_value()) return wrong("an object is expected");
    return std::move(*value);
}

// The object under `name`; null when it is not there.
Result<const Fields*> object_at(const Fields& fields, const std::string& name) {
    auto it = fields.find(name);
    if (it == fields.end() || it->second.kind_case() == model::Value::KIND_NOT_SET ||
        it->second.has_null_value())
        return nullptr;
    if (!it->second.has_map_value()) return wrong(fmt::format("\"{}\": an object is expected", name));
    return &it->second.map_value().fields();
}

Result<bool> bool_at(const Fields& fields, const std::string& name) {
    auto it = fields.find(name);
    if (it == fields.end()) return false;
    if (!it->second.has_bool_value()) return wrong(fmt::format("\"{}\": true or false is expected", name));
    return it->second.bool_value();
}

Result<int> int_at(const Fields& fields, const std::string& name) {
    auto it = fields.find(name);
    if (it == fields.end()) return 0;
    if (!it->second.has_int_value() || std::abs(it->second.int_value()) > INT32_MAX)
        return wrong(fmt::format("\"{}\": a number is expected", name));
    return static_cast<int>(it->second.int_value());
}

// {"data": "b64"} or {"close": true}
Status read_bytes(const Fields& fields, const std::string& name, std::string& bytes, bool& closed) {
    DROVER_TRY(const auto* part, object_at(fields, name));
    if (part == nullptr) return {};
    DROVER_TRY(closed, bool_at(*part, "close"));
    auto data = part->find("data");
    if (data == part->end() || data->second.has_null_value()) return {};
    auto decoded =
        data->second.has_string_value() ? base64_decode(data->second.string_value()) : std::nullopt;
    if (!decoded) return wrong(fmt::format("\"{}\".\"data\": base64 text is expected", name));
    bytes = std::move(*decoded);
    return {};
}

void add_part(std::string& out, std::string_view name, std::string_view bytes, bool closed) {
    if (bytes.empty() && !closed) return;
    out += fmt::format("{}\"{}\":{{", out.size() > 1 ? "," : "", name);
    if (!bytes.empty()) out += fmt::format("\"data\":\"{}\"{}", base64_encode(bytes), closed ? "," : "");
    out += closed ? "\"close\":true}" : "}";
}

}  // namespace

std::string encode_exec(const ports::ExecInput& input) {
    std::string out = "{";
    add_part(out, "stdin", input.stdin_bytes, input.stdin_closed);
    if (input.size)
        out += fmt::format("{}\"tty_size\":{{\"height\":{},\"width\":{}}}", out.size() > 1 ? "," : "",
                           input.size->rows, input.size->columns);
    return out + "}";
}

std::string encode_exec(const ports::ExecOutput& output) {
    std::string out = "{";
    add_part(out, "stdout", output.stdout_bytes, output.stdout_closed);
    add_part(out, "stderr", output.stderr_bytes, output.stderr_closed);
    if (output.exit_code)
        out += fmt::format("{}\"exited\":true,\"result\":{{\"exit_code\":{}}}", out.size() > 1 ? "," : "",
                           *output.exit_code);
    return out + "}";
}

Result<ports::ExecInput> decode_exec_input(std::string_view json) {
    DROVER_TRY(const auto value, parse_object(json));
    const auto& fields = value.map_value().fields();
    ports::ExecInput input;
    DROVER_CHECK(read_bytes(fields, "stdin", input.stdin_bytes, input.stdin_closed));
    DROVER_TRY(const auto* size, object_at(fields, "tty_size"));
    if (size != nullptr) {
        ports::WindowSize window;
        DROVER_TRY(window.rows, int_at(*size, "height"));
        DROVER_TRY(window.columns, int_at(*size, "width"));
        if (window.rows < 0 || window.columns < 0 || window.rows > UINT16_MAX || window.columns > UINT16_MAX)
            return wrong("\"tty_size\": height and width of 0 to 65535 are expected");
        input.size = window;
    }
    return input;
}

Result<ports::ExecOutput> decode_exec_output(std::string_view json) {
    DROVER_TRY(const auto value, parse_object(json));
    const auto& fields = value.map_value().fields();
    ports::ExecOutput output;
    DROVER_CHECK(read_bytes(fields, "stdout", output.stdout_bytes, output.stdout_closed));
    DROVER_CHECK(read_bytes(fields, "stderr", output.stderr_bytes, output.stderr_closed));
    DROVER_TRY(const bool exited, bool_at(fields, "exited"));
    if (!exited) return output;
    DROVER_TRY(const auto* result, object_at(fields, "result"));
    output.exit_code = 0;
    if (result != nullptr) {
        DROVER_TRY(output.exit_code, int_at(*result, "exit_code"));
    }
    return output;
}

Status check_exec_handshake(std::string_view json) {
    DROVER_TRY(const auto value, parse_object(json));
    DROVER_TRY(const int version, int_at(value.map_value().fields(), "version"));
    if (version != 1) return wrong(fmt::format("handshake version {}, expected 1", version));
    return {};
}

}  // namespace drover::api
