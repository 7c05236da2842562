// SPDX-License-Identifier: Apache-2.0
#include "agent/store/sqlite.h"

#include <sqlite3.h>

#include <utility>

namespace drover::agent {
namespace {

Error sqlite_error(sqlite3* db, int rc) {
    const int primary = rc & 0xff;
    Code code = Code::Internal;
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) code = Code::DataLoss;
    if (primary == SQLITE_FULL) code = Code::ResourceExhausted;
    if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) code = Code::Unavailable;
    if (primary == SQLITE_CANTOPEN || primary == SQLITE_PERM || primary == SQLITE_READONLY)
        code = Code::PermissionDenied;
    const char* text = db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    return make_error(code, "{} (sqlite {})", text, rc);
}

}  // namespace

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

SqliteStatement& SqliteStatement::operator=(SqliteStatement&& other) noexcept {
    std::swap(statement_, other.statement_);
    return *this;
}

SqliteStatement::~SqliteStatement() {
    sqlite3_finalize(statement_);
}

void SqliteStatement::bind(int index, std::string_view bytes) {
    const int rc = sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                                       SQLITE_STATIC);
    DROVER_ASSERT(rc == SQLITE_OK);
}

Result<bool> SqliteStatement::row() {
    const int rc = sqlite3_step(statement_);
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    return sqlite_error(sqlite3_db_handle(statement_), rc);
}

std::string SqliteStatement::column(int index) const {
    const void* data = sqlite3_column_blob(statement_, index);
    const int size = sqlite3_column_bytes(statement_, index);
    if (data == nullptr || size <= 0) return {};
    return std::string(static_cast<const char*>(data), static_cast<size_t>(size));
}

void SqliteStatement::reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
}

Result<Sqlite> Sqlite::open(const std::string& path) {
    Sqlite db;
    const int rc = sqlite3_open_v2(path.c_str(), &db.db_,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    if (rc != SQLITE_OK) return sqlite_error(db.db_, rc).context(path);
    sqlite3_extended_result_codes(db.db_, 1);
    sqlite3_busy_timeout(db.db_, 2000);
    return db;
}

Sqlite::Sqlite(Sqlite&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}

Sqlite& Sqlite::operator=(Sqlite&& other) noexcept {
    std::swap(db_, other.db_);
    return *this;
}

Sqlite::~Sqlite() {
    sqlite3_close_v2(db_);
}

Status Sqlite::exec(const char* sql) {
    const int rc = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
    if (rc != SQLITE_OK) return sqlite_error(db_, rc);
    return {};
}

Result<SqliteStatement> Sqlite::prepare(const char* sql) {
    SqliteStatement statement;
    const int rc = sqlite3_prepare_v2(db_, sql, -1, &statement.statement_, nullptr);
    if (rc != SQLITE_OK) return sqlite_error(db_, rc);
    return statement;
}

Result<std::string> Sqlite::text(const char* sql) {
    DROVER_TRY(auto statement, prepare(sql));
    DROVER_TRY(const bool row, statement.row());
    return row ? statement.column(0) : std::string();
}

}  // namespace drover::agent
