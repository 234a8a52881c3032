#!/bin/sh
# Totals the orders of one shop, writes reports/SHOP.txt, and prints the totals as JSON, which becomes the run's result.
#
# The report appears whole or not at all: it is written beside its place and then moved there.
set -eu

shop=$1
orders=orders/$shop.csv
report=reports/$shop.txt

# Checked first: a pipe below would hide that the file is missing.
[ -r "$orders" ] || { echo "there are no orders of $shop" >&2; exit 1; }

mkdir -p reports
draft=reports/.$shop.$$
trap 'rm -f "$draft"' EXIT

totals=$(awk -F, '
    NR > 1 { orders += 1; quantity += $4; cents += $4 * $5 }
    END { printf "{\"orders\":%.0f,\"quantity\":%.0f,\"total_cents\":%.0f}", orders, quantity, cents }' "$orders")

{
    printf 'Sales of %s\n\n' "$shop"
    awk -F, '
        NR > 1 { cents[$3] += $4 * $5 }
        END { for (sku in cents) printf "%-16s %14.2f\n", sku, cents[sku] / 100 }' "$orders" | sort
    printf '\n%s\n' "$totals"
} >"$draft"
mv "$draft" "$report"

printf '%s\n' "$totals"
