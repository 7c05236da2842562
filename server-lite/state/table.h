// SPDX-License-Identifier: Apache-2.0
// Table<V>: a persistent ordered map from string keys. Copying one is O(1) (that is a snapshot); a change
// copies only the path to it, so readers of older copies never see it and never wait. A treap whose
// priorities are hashes of the keys: its shape depends on its content alone. V must be cheap to copy (a
// shared_ptr to something immutable).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace drover::server {

template <class V>
class Table {
 public:
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }

    const V* find(std::string_view key) const {
        for (const Node* node = root_.get(); node != nullptr;) {
            const int order = key.compare(node->item->first);
            if (order == 0) return &node->item->second;
            node = order < 0 ? node->left.get() : node->right.get();
        }
        return nullptr;
    }

    void set(std::string_view key, V value) {
        auto item = std::make_shared<const Item>(std::string(key), std::move(value));
        if (find(key) != nullptr) {
            root_ = replaced(root_, item);
        } else {
            root_ = inserted(root_, item, std::hash<std::string_view>()(key));
            ++size_;
        }
    }

    bool erase(std::string_view key) {
        if (find(key) == nullptr) return false;
        root_ = erased(root_, key);
        --size_;
        return true;
    }

    // Calls fn(key, value) in key order for all keys >= from, until it answers false.
    template <class Fn>
    void scan(std::string_view from, Fn&& fn) const {
        walk(root_.get(), from, fn);
    }

    // All keys that start with `prefix`; fn may answer void, or false to end.
    template <class Fn>
    void scan_prefix(std::string_view prefix, Fn&& fn) const {
        scan(prefix, [&](const std::string& key, const V& value) {
            if (!std::string_view(key).starts_with(prefix)) return false;
            if constexpr (std::is_void_v<decltype(fn(key, value))>) {
                fn(key, value);
                return true;
            } else {
                return static_cast<bool>(fn(key, value));
            }
        });
    }

    template <class Fn>
    void each(Fn&& fn) const {
        scan_prefix("", std::forward<Fn>(fn));
    }

 private:
    using Item = std::pair<std::string, V>;
    struct Node;
    using Link = std::shared_ptr<const Node>;
    struct Node {
        std::shared_ptr<const Item> item;
        size_t priority;
        Link left, right;
    };

    static Link make(const Node& node, Link left, Link right) {
        return std::make_shared<const Node>(
            Node{node.item, node.priority, std::move(left), std::move(right)});
    }

    static Link replaced(const Link& node, const std::shared_ptr<const Item>& item) {
        const int order = item->first.compare(node->item->first);
        if (order == 0)
            return std::make_shared<const Node>(Node{item, node->priority, node->left, node->right});
        if (order < 0) return make(*node, replaced(node->left, item), node->right);
        return make(*node, node->left, replaced(node->right, item));
    }

    static Link inserted(const Link& node, const std::shared_ptr<const Item>& item, size_t priority) {
        if (!node) return std::make_shared<const Node>(Node{item, priority, nullptr, nullptr});
        if (priority > node->priority) {
            auto [less, more] = parted(node, item->first);
            return std::make_shared<const Node>(Node{item, priority, std::move(less), std::move(more)});
        }
        if (item->first < node->item->first)
            return make(*node, inserted(node->left, item, priority), node->right);
        return make(*node, node->left, inserted(node->right, item, priority));
    }

    // Splits by `key`, which is not in the tree.
    static std::pair<Link, Link> parted(const Link& node, const std::string& key) {
        if (!node) return {};
        if (node->item->first < key) {
            auto [less, more] = parted(node->right, key);
            return {make(*node, node->left, std::move(less)), std::move(more)};
        }
        auto [less, more] = parted(node->left, key);
        return {std::move(less), make(*node, std::move(more), node->right)};
    }

    static Link joined(const Link& a, const Link& b) {
        if (!a) return b;
        if (!b) return a;
        if (a->priority >= b->priority) return make(*a, a->left, joined(a->right, b));
        return make(*b, joined(a, b->left), b->right);
    }

    static Link erased(const Link& node, std::string_view key) {
        const int order = key.compare(node->item->first);
        if (order == 0) return joined(node->left, node->right);
        if (order < 0) return make(*node, erased(node->left, key), node->right);
        return make(*node, node->left, erased(node->right, key));
    }

    template <class Fn>
    static bool walk(const Node* node, std::string_view from, Fn& fn) {
        if (node == nullptr) return true;
        if (std::string_view(node->item->first) >= from) {
            if (!walk(node->left.get(), from, fn)) return false;
            if (!fn(node->item->first, node->item->second)) return false;
        }
        return walk(node->right.get(), from, fn);
    }

    Link root_;
    size_t size_ = 0;
};

}  // namespace drover::server
