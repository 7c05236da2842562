// SPDX-License-Identifier: Apache-2.0
// The little of SQLite that the store needs, with Result instead of return codes. Only store.cpp includes
// this.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace drover::agent {

class SqliteStatement {
 public:
    SqliteStatement() = default;
    SqliteStatement(SqliteStatement&& other) noexcept;
    SqliteStatement& operator=(SqliteStatement&& other) noexcept;
    ~SqliteStatement();

    void bind(int index,
              std::string_view bytes);    // 1-based; as BLOB; the bytes must live until the next reset()
    Result<bool> row();                   // steps: true when there is a row
    std::string column(int index) const;  // 0-based
    void reset();

 private:
    friend class Sqlite;
    sqlite3_stmt* statement_ = nullptr;
};

class Sqlite {
 public:
    static Result<Sqlite> open(const std::string& path);
    Sqlite(Sqlite&& other) noexcept;
    Sqlite& operator=(Sqlite&& other) noexcept;
    ~Sqlite();

    Status exec(const char* sql);
    Result<SqliteStatement> prepare(const char* sql);
    Result<std::string> text(const char* sql);  // first column of the first row

 private:
    Sqlite() = default;
    sqlite3* db_ = nullptr;
};

}  // namespace drover::agent
