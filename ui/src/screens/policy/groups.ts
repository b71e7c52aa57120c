/** Rows by namespace, in alphabetical order of the namespace and in their own order inside it. */
export function byNamespace<Row>(rows: Row[], of: (row: Row) => string): { namespace: string; rows: Row[] }[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) groups.set(of(row), [...(groups.get(of(row)) ?? []), row]);
  return [...groups]
    .map(([namespace, grouped]) => ({ namespace, rows: grouped }))
    .sort((a, b) => a.namespace.localeCompare(b.namespace));
}
