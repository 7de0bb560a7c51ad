/* confidence_entries - see confidence_entries.h. */
#include "confidence_entries.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void assert_figures(const popoto_confidence *expected, const popoto_confidence *is) {
    assert_true(expected->confidence == is->confidence);
    assert_int_equal(expected->evidence_count, is->evidence_count);
    assert_int_equal(expected->corroborations, is->corroborations);
    assert_int_equal(expected->contradictions, is->contradictions);
}

bool see(void *context, popoto_text member, const popoto_confidence *figures) {
    seen *it = context;
    assert_int_equal('\0', member.data[member.size]);
    assert_true(figures->confidence >= 0 && figures->confidence <= 1);
    if (it->only.data != NULL) {
        assert_true(member.size >= it->only.size);
        assert_memory_equal(it->only.data, member.data, it->only.size);
    }
    if (it->marks != NULL)
        it->marks[strtoul(strrchr(member.data, ':') + 1, NULL, 10)] = 1;
    if (it->memory != NULL && it->memory->live_bytes > it->most)
        it->most = it->memory->live_bytes;
    it->last = *figures;
    return ++it->count != it->stop_after;
}

popoto_status scan(popoto_db *db, const popoto_model *model, const char *project,
                   const char *pattern, seen *to) {
    popoto_confidence_scan_desc desc = {
        .model = model, .field = "certainty", .pattern = pattern, .callback = see, .context = to
    };
    if (project != NULL)
        desc.where[0] = (popoto_filter)POPOTO_IS("project", project);
    return popoto_confidence_scan(db, &desc);
}
