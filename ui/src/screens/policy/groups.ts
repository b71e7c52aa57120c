/** Rows by namespace, in alphabetical order of the namespace and in their own order inside it. */
export function byNamespace<Row>(rows: Row[], of: (row: Row) => string): { namespace: string; rows: Row[] }[] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const group = groups.get(of(row));
    if (group) group.push(row);
    else groups.set(of(row), [row]);
  }
  return [...groups]
    .map(([namespace, grouped]) => ({ namespace, rows: grouped }))
    .sort((a, b) => a.namespace.localeCompare(b.namespace));
}
