// Analyses a lane: as figures only (one statement, nothing is made), or into temporary tables from which its slices can work.
import type { Connection } from '../../database/postgres.ts'
import { analysis, analysisSummary, bucketAnalysis } from './analysis-sql.ts'
import type { AnalysisScope, BucketAnalysis, SummaryRow } from './analysis-sql.ts'

/**
 * Reading takes its time, and no lock that anybody waits for. Hashes over the rows of a bucket are what takes memory; beyond this the server spills them to disk. The planner knows nothing of
 * relations that are made on the way, so that it is told how to join them.
 */
export const analysisSettings = `SET LOCAL statement_timeout = 0;
SET LOCAL work_mem = '64MB';
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL default_statistics_target = 10;
SET LOCAL enable_nestloop = off;
SET LOCAL enable_mergejoin = off`

/** The settings for one scope. */
export function settingsFor({ sparse = false }: AnalysisScope): string {
  return sparse ? `${analysisSettings};\nSET LOCAL enable_seqscan = off` : analysisSettings
}

/** Changes nothing, and works on a standby too. */
export async function analyse(connection: Connection, scope: AnalysisScope): Promise<BucketAnalysis[]> {
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;\n${settingsFor(scope)}`)
  try {
    const relations = analysis(scope).map(({ name, query }) => `${name} AS MATERIALIZED (\n${query})`)
    const rows = await connection.query<SummaryRow>(`WITH ${relations.join(', ')}\n${analysisSummary}`)
    return rows.map(bucketAnalysis)
  } finally {
    await connection.execute('ROLLBACK').catch(() => {})
  }
}

/** Statements that make the temporary tables of an analysis. */
export function workTables(scope: AnalysisScope): string[] {
  const relations = analysis(scope)
  const analysed = new Set(['tamp_row', 'tamp_bucket', 'tamp_work'])
  return [
    `DROP TABLE IF EXISTS ${relations.map(({ name }) => `pg_temp.${name}`).join(', ')}`,
    // Without statistics the planner would hash the operations instead of the rows that they are about.
    ...relations.flatMap(({ name, query }) => [
      `CREATE TEMP TABLE ${name} AS\n${query}`,
      ...(analysed.has(name) ? [`ANALYZE ${name}`] : []),
    ]),
    'CREATE INDEX ON tamp_row (source_key)',
    'CREATE INDEX ON tamp_work (n)',
    'CREATE INDEX ON tamp_clear (n)',
  ]
}

/** Leaves the temporary tables behind, for `applySlice`. */
export async function analyseForWork(connection: Connection, scope: AnalysisScope): Promise<BucketAnalysis[]> {
  await connection.execute(`BEGIN ISOLATION LEVEL REPEATABLE READ;\n${settingsFor(scope)}`)
  try {
    for (const statement of workTables(scope)) await connection.execute(statement)
    const rows = await connection.query<SummaryRow>(analysisSummary)
    await connection.execute('COMMIT')
    return rows.map(bucketAnalysis)
  } catch (error) {
    await connection.execute('ROLLBACK').catch(() => {})
    throw error
  }
}
