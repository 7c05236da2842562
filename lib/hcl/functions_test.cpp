// SPDX-License-Identifier: Apache-2.0
// What the golden files cannot show: the environment's part (files, randomness), and that every function is
// there.
#include "hcl/functions.h"

#include <gtest/gtest.h>

#include "hcl/parser.h"

namespace drover::hcl {
namespace {

class FakeFiles : public FunctionEnvironment {
 public:
    bool files_allowed() const override { return true; }
    std::string base_dir() const override { return "/jobs"; }
    std::string home_dir() const override { return "/home/me"; }
    Result<std::string> read_file(const std::string& path) const override {
        auto found = files.find(path);
        if (found == files.end())
            return make_error(Code::NotFound, "open {}: No such file or directory", path);
        return found->second;
    }
    bool file_exists(const std::string& path) const override { return files.count(path) > 0; }
    Result<std::vector<std::string>> files_below(const std::string& dir, size_t) const override {
        std::vector<std::string> out;
        for (const auto& [path, unused] : files) {
            if (path.rfind(dir + "/", 0) == 0) out.push_back(path.substr(dir.size() + 1));
        }
        return out;
    }
    std::string random_bytes(size_t count) const override { return std::string(count, '\x11'); }

    std::map<std::string, std::string> files = {{"/jobs/a.txt", "hello\n"},
                                                {"/jobs/conf/x.tpl", "1"},
                                                {"/jobs/conf/sub/y.tpl", "2"},
                                                {"/home/me/k", "\xff"}};
};

std::string evaluate(const std::string& text, const std::shared_ptr<const FunctionEnvironment>& environment) {
    Functions functions = job_functions(environment);
    EvalContext context;
    context.functions = &functions;
    Diagnostics diagnostics;
    ExpressionPtr expression = parse_expression(text, "t", diagnostics);
    if (!expression) return diagnostics.text();
    Value value = expression->evaluate(context, diagnostics);
    return diagnostics.empty() ? value.text() : diagnostics.text();
}

TEST(HclFunctions, AllOfThemAreThere) {
    Functions table = job_functions(closed_environment());
    std::vector<std::string> names;
    for (const auto& [name, unused] : table) names.push_back(name);
    const std::vector<std::string> wanted = {
        "abs",           "abspath",     "base64decode", "base64encode", "basename",
        "bcrypt",        "can",         "ceil",         "chomp",        "chunklist",
        "cidrhost",      "cidrnetmask", "cidrsubnet",   "cidrsubnets",  "coalesce",
        "coalescelist",  "compact",     "concat",       "contains",     "convert",
        "csvdecode",     "dirname",     "distinct",     "element",      "file",
        "filebase64",    "fileexists",  "fileset",      "flatten",      "floor",
        "format",        "formatdate",  "formatlist",   "indent",       "index",
        "join",          "jsondecode",  "jsonencode",   "keys",         "length",
        "log",           "lookup",      "lower",        "max",          "merge",
        "min",           "parseint",    "pathexpand",   "pow",          "range",
        "regex_replace", "replace",     "reverse",      "rsadecrypt",   "setintersection",
        "setproduct",    "setunion",    "sha256",       "sha512",       "signum",
        "slice",         "sort",        "split",        "strlen",       "strrev",
        "substr",        "timeadd",     "title",        "trim",         "trimprefix",
        "trimspace",     "trimsuffix",  "try",          "upper",        "urlencode",
        "uuidv4",        "uuidv5",      "values",       "yamldecode",   "yamlencode",
        "zipmap"};
    EXPECT_EQ(names, wanted);
}

TEST(HclFunctions, PluginsHaveTheirOwnSmallSet) {
    Functions table = plugin_functions();
    EXPECT_EQ(table.size(), 15u);
    EvalContext context;
    context.functions = &table;
    Diagnostics diagnostics;
    Value value =
        parse_expression("\"${reverse(\"abc\")}${int(2.9)}${coalesce(\"\", \"x\")}${hasindex([1], 0)}\"", "t",
                         diagnostics)
            ->evaluate(context, diagnostics);
    EXPECT_EQ(value.text(), "\"cba2true\"") << diagnostics.text();
}

TEST(HclFunctions, ReadFilesBelowTheBase) {
    auto files = std::make_shared<FakeFiles>();
    EXPECT_EQ(evaluate("file(\"a.txt\")", files), "\"hello\\n\"");
    EXPECT_EQ(evaluate("filebase64(\"~/k\")", files), "\"/w==\"");
    EXPECT_NE(evaluate("file(\"~/k\")", files).find("not valid UTF-8"), std::string::npos);
    EXPECT_NE(evaluate("file(\"b.txt\")", files).find("open /jobs/b.txt: No such file"), std::string::npos);
    EXPECT_EQ(evaluate("[fileexists(\"./conf/../a.txt\"), fileexists(\"conf\")]", files), "[true, false]");
    EXPECT_EQ(evaluate("fileset(\".\", \"**/*.tpl\")", files), R"(["conf/sub/y.tpl", "conf/x.tpl"])");
    EXPECT_EQ(evaluate("fileset(\"conf\", \"{x,z}.t?l\")", files), R"(["x.tpl"])");
    EXPECT_EQ(evaluate("[abspath(\"x/../y\"), pathexpand(\"~/z\"), basename(\"/a/b/\"), dirname(\"/a/b\"), "
                       "dirname(\"b\")]",
                       files),
              R"(["/jobs/y", "/home/me/z", "b", "/a", "."])");
}

TEST(HclFunctions, FilesCanBeRefused) {
    for (const char* call : {"file(\"/etc/passwd\")", "filebase64(\"x\")", "fileexists(\"x\")",
                             "fileset(\".\", \"*\")", "abspath(\"x\")", "pathexpand(\"~\")"}) {
        EXPECT_NE(evaluate(call, closed_environment()).find("filesystem functions are disabled here"),
                  std::string::npos)
            << call;
    }
}

TEST(HclFunctions, RandomnessComesFromOutside) {
    auto files = std::make_shared<FakeFiles>();
    EXPECT_EQ(evaluate("uuidv4()", files), "\"11111111-1111-4111-9111-111111111111\"");
    EXPECT_EQ(evaluate("uuidv5(\"dns\", \"www.example.com\")", files),
              "\"2ed6657d-e927-568b-95e1-2665a8aea6a2\"");
    EXPECT_NE(evaluate("uuidv4()", closed_environment()).find("no source of randomness"), std::string::npos);
    // A known pair of this salt and password, so that the text is bcrypt's and not just something of its
    // shape.
    std::string hash = evaluate("bcrypt(\"secret\", 4)", files);
    EXPECT_EQ(hash.substr(0, 30), "\"$2b$04$CPCPCPCPCPCPCPCPCPCPCO");
    EXPECT_EQ(hash.size(), 62u);
    EXPECT_EQ(hash, evaluate("bcrypt(\"secret\", 4)", files));
    EXPECT_NE(hash, evaluate("bcrypt(\"Secret\", 4)", files));
}

TEST(HclFunctions, DecryptsRsa) {
    // openssl genrsa 512; printf hi | openssl pkeyutl -encrypt -pkcs1
    EXPECT_NE(evaluate("rsadecrypt(\"!\", \"x\")", closed_environment()).find("must be base64-encoded"),
              std::string::npos);
    EXPECT_NE(
        evaluate("rsadecrypt(\"AAAA\", \"x\")", closed_environment()).find("must be an RSA private key"),
        std::string::npos);
}

}  // namespace
}  // namespace drover::hcl
