/* audit - what the passes of an audit (audit.c) and the verdicts on what they suspect (verdict.c) share.
 *
 * The passes read records and indexes in pipelines, page by page, while others write: what they find
 * amiss may be a writer's step that they saw half of. So it is a suspicion only, and is judged by one
 * atomic look at the record and the index together. What stands then is reported, and mended on the
 * expectation that what was seen is still so. */
#ifndef POPOTO_AUDIT_H
#define POPOTO_AUDIT_H

#include "owner.h"
#include "read_commands.h"

typedef struct suspicion {
    popoto_text record; /* a key of the model's */
    popoto_text index;
    const field *about; /* whose index; NULL: the set of all records */
} suspicion;

typedef struct auditing {
    popoto_db *db;
    const model *of;
    const popoto_audit_desc *desc;
    const owner *whose; /* one tenant's alone; NULL: all */
    popoto_audit_report *report;
    arena memory;            /* goes with the audit */
    arena page;              /* of the page under way */
    arena bench;             /* of the suspicions being judged */
    popoto_finding *pending; /* that need no judgement */
    size_t pending_count;
    size_t pending_room;
    suspicion *suspicions;
    size_t suspicion_count;
    size_t suspicion_room;
    pace pace;    /* of reading records */
    size_t done;  /* records and entries looked at */
    size_t total; /* of them, as far as that is known */
} auditing;

/* Whether two texts are the same. */
bool popoto__same_text(popoto_text a, popoto_text b);

/* Add a suspicion; its texts must hold until popoto__audit_settle. */
popoto_status popoto__audit_suspect(auditing *it, popoto_text record, popoto_text index,
                                    const field *about);
/* Add something that needs no second look; its text is copied, its keys must hold until then too. */
popoto_status popoto__audit_note(auditing *it, popoto_finding finding);
/* Report what was noted, judge all suspicions, mend what is to be mended, report what stands. */
popoto_status popoto__audit_settle(auditing *it);

/* An entry that can never be right where it stands, whatever becomes of its record: one of another
 * tenant's. Mended by taking it out. */
popoto_status popoto__audit_foreign(auditing *it, popoto_text member, popoto_text index,
                                    const field *about);

/* A stored value of a field. False: *reason says why it is none of the field's. */
bool popoto__audit_read(const field *about, popoto_text stored, arena *memory, popoto_value *value,
                        const char **reason);

#endif
