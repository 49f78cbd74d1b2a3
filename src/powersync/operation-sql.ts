// Pieces of SQL over bucket_data that several queries share: what identifies a row, and what an operation costs a client.

/** The columns that say which row an operation is about, most telling first: grouping by them compares in that order. */
export const identity = ['source_key', 'row_id', 'table_name', 'source_table'] as const
export const identityColumns: string = identity.join(', ')

/** Two operations are about the same row. All four columns of PUT and REMOVE are set. */
export function sameIdentity(one: string, other: string): string {
  return identity.map((column) => `${one}.${column} = ${other}.${column}`).join(' AND ')
}

/**
 * Bytes that one operation takes in the stream to a client, an estimate: an NDJSON entry with escaped data.
 * Measured on the service's own lines: MOVE and CLEAR about 53, REMOVE about 150 without its ids.
 * Only lengths are asked for, so that large texts are not read.
 * @param alias of bucket_data
 */
export function operationBytes(alias: string): string {
  return `CASE ${alias}.op
    WHEN 'PUT' THEN 170 + octet_length(${alias}.table_name) + octet_length(${alias}.row_id) + octet_length(${alias}.data)::int8 * 11 / 10
    WHEN 'REMOVE' THEN 170 + octet_length(${alias}.table_name) + octet_length(${alias}.row_id)
    ELSE ${smallOperationBytes} END`
}

/** Bytes of a MOVE or CLEAR in the stream. */
export const smallOperationBytes = 53

/** 32 bits, wrapping, signed: how the service stores the checksum of a CLEAR. */
export function signed32(sum: string): string {
  return `(((${sum}) % 4294967296 + 6442450944) % 4294967296 - 2147483648)::int8`
}
