// SPDX-License-Identifier: Apache-2.0
// Goal: a Table behaves as an ordered map, and copies never see later changes. Method: random operations
// beside std::map.
#include "server-lite/state/table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace drover::server {
namespace {

std::map<std::string, int> contents(const Table<int>& table) {
    std::map<std::string, int> out;
    std::string last;
    table.each([&](const std::string& key, int value) {
        EXPECT_TRUE(out.empty() || last < key) << "keys come in order";
        last = key;
        out[key] = value;
    });
    return out;
}

TEST(Table, IsAnOrderedMapWhoseCopiesStayAsTheyWere) {
    std::mt19937 random(7);
    Table<int> table;
    std::map<std::string, int> model;
    std::vector<std::pair<Table<int>, std::map<std::string, int>>> snapshots;
    for (int i = 0; i < 20'000; ++i) {
        const std::string key = "k" + std::to_string(random() % 500);
        if (random() % 3 == 0) {
            EXPECT_EQ(table.erase(key), model.erase(key) == 1);
        } else {
            table.set(key, i);
            model[key] = i;
        }
        ASSERT_EQ(table.size(), model.size());
        if (i % 997 == 0) snapshots.emplace_back(table, model);
    }
    EXPECT_EQ(contents(table), model);
    for (const auto& [snapshot, expected] : snapshots) EXPECT_EQ(contents(snapshot), expected);
    for (const auto& [key, value] : model) {
        ASSERT_NE(table.find(key), nullptr);
        EXPECT_EQ(*table.find(key), value);
    }
    EXPECT_EQ(table.find("absent"), nullptr);
}

TEST(Table, ScansAPrefixAndStopsWhenToldTo) {
    Table<int> table;
    for (const char* key : {"a", "a/1", "a/2", "a/3", "b", "b/1"}) table.set(key, 1);
    std::vector<std::string> seen;
    table.scan_prefix("a/", [&](const std::string& key, int) { seen.push_back(key); });
    EXPECT_EQ(seen, (std::vector<std::string>{"a/1", "a/2", "a/3"}));
    seen.clear();
    table.scan_prefix("a", [&](const std::string& key, int) {
        seen.push_back(key);
        return seen.size() < 2;
    });
    EXPECT_EQ(seen, (std::vector<std::string>{"a", "a/1"}));
}

}  // namespace
}  // namespace drover::server
