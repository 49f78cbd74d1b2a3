// Triggers elsewhere that write a table while that same table is being written. On a plain table SQLite does what they say; through a view
// the same INSTEAD OF trigger would be entered again, which SQLite silently does not do. Pure.

import { sameName } from './catalogue.ts'
import type { SchemaObject } from './schema-objects.ts'
import type { Table } from './table.ts'
import { triggerText } from './trigger-text.ts'
import type { TriggerEvent } from './trigger-text.ts'

interface ForeignKeyAction {
  readonly table: string
  readonly parent: string
  readonly onUpdate: string
  readonly onDelete: string
}

interface Edge {
  readonly from: { readonly table: string; readonly event: TriggerEvent }
  readonly to: { readonly table: string; readonly event: TriggerEvent }
  /** The trigger, where it is one, and whether it is one of the table's own. */
  readonly trigger: string | undefined
  readonly own: boolean
}

/** Sentences that say which trigger would write the table again, by which event. */
export function reenteredTriggers(
  table: Table,
  all: readonly SchemaObject[],
  foreignKeys: readonly ForeignKeyAction[],
): readonly string[] {
  const name = (other: string): string => (sameName(other, table.stored) ? table.name : other)
  const edges = [...triggerEdges(table, all, name), ...foreignKeyEdges(foreignKeys, name)]
  const found: string[] = []
  for (const event of ['INSERT', 'UPDATE', 'DELETE'] as const) {
    const seen = new Set<string>()
    const open: { table: string; event: TriggerEvent }[] = [{ table: table.name, event }]
    for (let at = open.pop(); at !== undefined; at = open.pop())
      for (const edge of edges) {
        if (edge.from.event !== at.event || !sameName(edge.from.table, at.table)) continue
        const isBack = !edge.own && edge.to.event === event && sameName(edge.to.table, table.name)
        if (isBack && edge.trigger !== undefined)
          found.push(`The trigger ${edge.trigger} does ${article(event)} of ${table.name}`)
        const key = `${edge.to.event} ${edge.to.table.toLowerCase()}`
        if (!seen.has(key)) open.push(edge.to)
        seen.add(key)
      }
  }
  return [...new Set(found)]
}

function article(event: TriggerEvent): string {
  return event === 'DELETE' ? 'a DELETE' : `an ${event}`
}

function* triggerEdges(table: Table, all: readonly SchemaObject[], name: (table: string) => string): Iterable<Edge> {
  for (const object of all) {
    const text = object.type === 'trigger' ? triggerText(object.sql) : undefined
    if (text === undefined) continue
    const on = name(object.table)
    // The triggers on the view itself only carry over to the rows.
    if (table.madeBy !== 'nobody' && sameName(object.table, table.name)) continue
    for (const { write } of text.statements)
      if (write !== undefined)
        yield {
          from: { table: on, event: text.event },
          to: { table: name(write.table), event: write.event },
          trigger: object.name,
          own: sameName(on, table.name),
        }
  }
}

function* foreignKeyEdges(foreignKeys: readonly ForeignKeyAction[], name: (table: string) => string): Iterable<Edge> {
  const acts = (action: string): boolean => !['NO ACTION', 'RESTRICT'].includes(action.toUpperCase())
  for (const { table, parent, onUpdate, onDelete } of foreignKeys) {
    const edge = (event: 'UPDATE' | 'DELETE', does: 'UPDATE' | 'DELETE'): Edge => ({
      from: { table: name(parent), event },
      to: { table: name(table), event: does },
      trigger: undefined,
      own: false,
    })
    if (acts(onUpdate)) yield edge('UPDATE', 'UPDATE')
    if (acts(onDelete)) yield edge('DELETE', onDelete.toUpperCase() === 'CASCADE' ? 'DELETE' : 'UPDATE')
  }
}
