// SPDX-License-Identifier: Apache-2.0
#include "hcl/diagnostic.h"

#include <gtest/gtest.h>

#include "hcl/limits.h"

namespace drover::hcl {
namespace {

TEST(Diagnostic, RangesAreWrittenShort) {
    EXPECT_EQ((Range{"job.hcl", {3, 5, 40}, {3, 12, 47}}).text(), "job.hcl:3,5-12");
    EXPECT_EQ((Range{"job.hcl", {3, 5, 40}, {4, 1, 60}}).text(), "job.hcl:3,5-4,1");
    EXPECT_EQ((Range{"job.hcl", {3, 5, 40}, {3, 5, 40}}).text(), "job.hcl:3,5");
}

TEST(Diagnostic, OneLineAndShortForms) {
    Diagnostics said;
    said.error("First", "Detail one.", {"f", {1, 1, 0}, {1, 2, 1}});
    EXPECT_EQ(said.short_text(), "f:1,1-2: First; Detail one.");
    said.warning("Second", "", {"f", {2, 1, 0}, {2, 2, 1}});
    EXPECT_EQ(said.short_text(), "f:1,1-2: First; Detail one., and 1 other diagnostic(s)");
    EXPECT_EQ(said.text(), "f:1,1-2: First; Detail one.\nf:2,1-2: Second");
    EXPECT_EQ(said.status().error().message(), "f:1,1-2: First; Detail one.");
    EXPECT_EQ(said.error_count(), 1u);
}

TEST(Diagnostic, MarksStandUnderTheText) {
    Diagnostic diagnostic{Severity::Error, "Bad", "Why.", Range{"f", {2, 3, 0}, {2, 6, 0}}, {}};
    EXPECT_EQ(diagnostic.terminal_text("one\n\täbcdef\n"),
              "Error: Bad\n\n  on f line 2:\n  2: \täbcdef\n     \t ^^^\n\nWhy.\n");
    EXPECT_NE(diagnostic.terminal_text("").find("on f line 2"), std::string::npos);
}

TEST(Diagnostic, ListIsBounded) {
    Diagnostics said;
    for (int i = 0; i < 1000; ++i) said.error("x", "", {});
    EXPECT_EQ(said.size(), kDiagnosticsMax);
    EXPECT_EQ(said.error_count(), 1000u);
}

}  // namespace
}  // namespace drover::hcl
