/* write - create, save and delete, of one object or of many: values in, plans out, replies taken, and
 * what the object then remembers. A write that the server refuses is planned again from what it found
 * there; see plan. Never builds a key or a command. */
#include "commit.h"
#include "fresh.h"
#include "tenant.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <uuid/uuid.h>

#ifdef __APPLE__
#include <sys/random.h>
#endif

typedef struct item {
    commit done;
    record_write write;
    void *object;
    popoto_value *values;
    popoto_id *generated; /* by field, set for those of the key; NULL: none */
    size_t place;         /* in the group, where it is grouped */
    shape_script *kept;   /* what it is sent with, without a plan; NULL: it is planned */
    bool is_direct;       /* it was sent so */
    uint64_t content;     /* then: the digest of what the record holds */
} item;

/* Random bytes of the kernel's, as many at a time as it gives for one call. They live no longer than the
 * call that uses them, so no fork(2) can make two processes use the same ones. */
typedef struct entropy {
    unsigned char bytes[256];
    size_t left;
} entropy;

typedef struct batch {
    commit_batch run;
    popoto_db *db;
    const model *of;
    void *const *objects;
    item *items;
    popoto_value *values;  /* by item and field, as are these: */
    popoto_text *segments; /* of their keys and partitions */
    popoto_id *ids;        /* empty: none was generated; NULL: none ever is */
    uint64_t *met;         /* the keys so far, COMMIT_MET of them; NULL: there is one */
    bool has_memory;
    const bool *named;
    const bool *pinned; /* the fields that scopes name */
    bool if_unchanged;
    fresh_group group; /* what goes as one transaction */
    entropy random;
} batch;

/* ----- Values --------------------------------------------------------------------------------- */

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* A random uuid for one of the batch's records. libuuid makes good ones too, but takes some 2 us for
 * each, a tenth of a record's whole way to the server and back: it is asked where the kernel refuses. */
static void random_uuid(batch *it, uuid_t out) {
    entropy *from = &it->random;
    if (from->left == 0) {
        size_t most = sizeof from->bytes / sizeof(uuid_t);
        size_t wanted = it->run.count < most ? it->run.count : most;
        if (wanted == 0 || getentropy(from->bytes, wanted * sizeof(uuid_t)) != 0) {
            uuid_generate_random(out);
            return;
        }
        from->left = wanted * sizeof(uuid_t);
    }
    from->left -= sizeof(uuid_t);
    memcpy(out, from->bytes + from->left, sizeof(uuid_t));
    out[6] = (unsigned char)((out[6] & 0x0F) | 0x40); /* version 4: random */
    out[8] = (unsigned char)((out[8] & 0x3F) | 0x80); /* the variant of RFC 4122 */
}

/* 48 bits of milliseconds, 80 random ones, 5 bits a digit from the top. */
static void generate_ulid(batch *it, popoto_id *id) {
    struct timeval now;
    uuid_t random;
    unsigned char bytes[17] = {
        0
    }; /* the first is no part of it: 130 bits of digits, 128 of ulid */
    gettimeofday(&now, NULL);
    uint64_t milliseconds = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
    random_uuid(it, random);
    for (int i = 0; i < 6; i++)
        bytes[1 + i] = (unsigned char)(milliseconds >> (40 - 8 * i));
    /* Bytes 6 and 8 of a random uuid hold its version and variant: pass over them. */
    memcpy(bytes + 7, random, 6);
    bytes[13] = random[7];
    memcpy(bytes + 14, random + 9, 3);
    for (unsigned digit = 0; digit < 26; digit++) {
        unsigned bit = 6 + digit * 5;
        unsigned pair =
            (unsigned)bytes[bit / 8] << 8 | (bit / 8 + 1 < 17 ? bytes[bit / 8 + 1] : 0U);
        id->text[digit] = crockford[pair >> (11 - bit % 8) & 31U];
    }
    id->text[26] = '\0';
}

#define SIXTEEN(d) \
    d "0" d "1" d "2" d "3" d "4" d "5" d "6" d "7" d "8" d "9" d "a" d "b" d "c" d "d" d "e" d "f"

static void generate_uuid4(batch *it, popoto_id *id) {
    static const char digits[] = SIXTEEN("0") SIXTEEN("1") SIXTEEN("2") SIXTEEN("3") SIXTEEN("4")
        SIXTEEN("5") SIXTEEN("6") SIXTEEN("7") SIXTEEN("8") SIXTEEN("9") SIXTEEN("a") SIXTEEN("b")
            SIXTEEN("c") SIXTEEN("d") SIXTEEN("e") SIXTEEN("f");
    uuid_t random;
    random_uuid(it, random);
    for (size_t i = 0; i < sizeof random; i++)
        memcpy(id->text + 2 * i, digits + (size_t)2 * random[i], 2);
    id->text[32] = '\0';
}

static popoto_id *new_ids(batch *it, const item *one) {
    popoto_id *ids = it->ids + (size_t)(one - it->items) * it->of->field_count;
    for (size_t i = 0; i < it->of->key_count; i++)
        ids[it->of->keys[i]].text[0] = '\0';
    return ids;
}

/* An empty AUTO_KEY gets its value here; the object, only when the record is stored. */
static void generate_keys(batch *it, item *one) {
    for (size_t i = 0; i < it->of->key_count; i++) {
        size_t at = it->of->keys[i];
        const field *about = &it->of->fields[at];
        popoto_value *value = &one->values[at];
        if (about->kind != POPOTO_KIND_AUTO_KEY ||
            !(value->type == POPOTO_NULL ||
              (value->type == POPOTO_TEXT && value->as.text.size == 0)))
            continue;
        if (one->generated == NULL)
            one->generated = new_ids(it, one);
        bool is_ulid = about->declared->generate == POPOTO_ULID;
        (is_ulid ? generate_ulid : generate_uuid4)(it, &one->generated[at]);
        *value = popoto_of_sized_text((popoto_text){ one->generated[at].text, is_ulid ? 26 : 32 });
    }
}

/* Defaults where a new record has null, the initial confidence where it has none, and every value in
 * its field's type. */
static popoto_status accept_values(batch *it, item *one, bool is_new) {
    for (size_t i = 0; i < it->of->field_count; i++) {
        const field *about = &it->of->fields[i];
        popoto_value *value = &one->values[i];
        if (popoto__field_takes(about, value))
            continue;
        if (it->named != NULL && !it->named[i] && !about->is_key) {
            popoto__guess_value(it->of, about, value);
            continue;
        }
        if (value->type == POPOTO_NULL && !about->declared->keep_null &&
            (is_new || !about->declared->null))
            *value = about->default_value;
        if (about->kind == POPOTO_KIND_CONFIDENCE &&
            (value->type == POPOTO_NULL ||
             (about->declared->member == POPOTO_MEMBER_FLOAT && value->as.real == 0)))
            *value = popoto_of_float(about->initial_confidence);
        popoto_value given = *value;
        popoto_status status = popoto__field_accept(it->of, about, &given, value, &it->db->why);
        if (status != POPOTO_OK)
            return status;
    }
    return POPOTO_OK;
}

/* ----- Preparing an item ---------------------------------------------------------------------- */

static popoto_status check_whole(batch *it, const popoto_object *header) {
    if (header->flags & ~OBJECT_PARTIAL)
        return popoto__fail(
            &it->db->why, POPOTO_BAD_ARGUMENT,
            "this %s has no valid header: a new object begins as zero, as with = { 0 }",
            it->of->name.data);
    if (it->named == NULL && header->flags & OBJECT_PARTIAL)
        return popoto__fail(
            &it->db->why, POPOTO_BAD_ARGUMENT,
            "this %s was loaded with a choice of fields and the others are empty in it; "
            "name what to save: .only = \"...\"",
            it->of->name.data);
    return POPOTO_OK;
}

/* Which kind of write this is in truth: what the caller asked, and what the object remembers. */
static popoto_status choose_kind(batch *it, item *one, write_kind asked) {
    const popoto_object *header = popoto__object_header(it->of, one->object);
    popoto_status status = POPOTO_OK;
    one->write.kind = asked;
    if (asked != WRITE_DELETE)
        status = check_whole(it, header);
    if (asked == WRITE_CREATE) {
        if (status == POPOTO_OK)
            generate_keys(it, one);
        if (status == POPOTO_OK && one->generated != NULL && !it->of->has_unique_key)
            one->write.kind = WRITE_FRESH;
        return status;
    }
    if (status == POPOTO_OK && asked == WRITE_STORE)
        generate_keys(it, one);
    if (status == POPOTO_OK)
        status = popoto__write_place(&one->write, &it->db->why);
    if (status == POPOTO_OK)
        status =
            popoto__db_old_key(it->db, it->of, header, one->write.place.key, &one->write.old_key);
    if (status != POPOTO_OK)
        return status;
    if (asked == WRITE_STORE && one->write.old_key.data != NULL)
        one->write.kind = WRITE_REPLACE;
    else if (asked == WRITE_STORE && one->generated != NULL && !it->of->has_unique_key)
        one->write.kind = WRITE_FRESH;
    if (asked == WRITE_DELETE && one->write.old_key.data == NULL)
        one->write.old_key = one->write.place.key;
    return POPOTO_OK;
}

/* "{project-a}:" of a strict model's key. */
static size_t tenant_size(popoto_text key) {
    const char *end = key.size == 0 ? NULL : memchr(key.data, '}', key.size);
    return end == NULL ? 0 : (size_t)(end + 1 - key.data);
}

/* A record that changes its tenant is renamed, in the one step that takes it from the old tenant's
 * indexes to the new one's: a cluster, where these may lie on two nodes, has no such step. */
static popoto_status check_same_node(batch *it, const item *one) {
    popoto_text old = one->write.old_key, new = one->write.place.key;
    if (!one->write.moves_key || it->of->tenant == NULL || !popoto__db_is_cluster(it->db))
        return POPOTO_OK;
    size_t size = tenant_size(old);
    if (size == tenant_size(new) && memcmp(old.data, new.data, size) == 0)
        return POPOTO_OK;
    shown room;
    return popoto__fail(&it->db->why, POPOTO_UNSUPPORTED,
                        "%s: its %s was changed, and on a cluster a record cannot move to another "
                        "tenant in one step; create it there, and delete it here",
                        popoto__show(&room, old.data, old.size), it->of->tenant->name);
}

/* Values that go straight into the request are encoded there: those of new records, and of records that are kept where
 * they are if it is known how. */
static popoto_status encode(batch *it, item *one) {
    popoto_db *db = it->db;
    if (one->write.kind == WRITE_FRESH)
        return POPOTO_OK;
    if (!it->if_unchanged && db->knows_permissions && (db->permissions & PERMITTED_COMMANDS) != 0)
        one->kept = popoto__kept_find(db->kept, &one->write);
    return one->kept != NULL ? POPOTO_OK : popoto__write_encode(&one->write, &db->why);
}

static popoto_status prepare(batch *it, item *one, write_kind asked) {
    if (one->object == NULL)
        return popoto__fail(&it->db->why, POPOTO_BAD_ARGUMENT,
                            "an object of %s is needed, and NULL was "
                            "given",
                            it->of->name.data);
    one->write.of = it->of;
    one->write.memory = &it->db->scratch;
    one->write.named = it->named;
    one->write.pinned = it->pinned;
    one->write.values = one->values;
    one->write.encodes_late = true;
    popoto_status status = popoto__db_values(it->db, it->of, one->object, one->values);
    if (status == POPOTO_OK)
        status = choose_kind(it, one, asked);
    if (status != POPOTO_OK)
        return status;
    if (one->write.kind == WRITE_DELETE) {
        /* Deleting needs the key alone: bad values are no obstacle. */
        for (size_t i = 0; i < it->of->field_count; i++)
            popoto__guess_value(it->of, &it->of->fields[i], &one->values[i]);
    } else {
        status = accept_values(it, one, one->write.kind != WRITE_REPLACE);
    }
    if (status == POPOTO_OK)
        status = popoto__write_prepare(&one->write, &it->db->why);
    if (status == POPOTO_OK && one->write.kind == WRITE_REPLACE)
        status = check_same_node(it, one);
    return status == POPOTO_OK ? encode(it, one) : status;
}

/* ----- Plans ---------------------------------------------------------------------------------- */

static popoto_status plan_item(commit_batch *run, commit *one) {
    item *it = (item *)one;
    popoto_status status = POPOTO_OK;
    if (it->is_direct) /* what the script refused is found in the plan that it was made from */
        status = popoto__plan_write(&it->write, &one->planned, &run->db->why);
    it->is_direct = false;
    if (status == POPOTO_OK)
        status = popoto__plan_learn(&it->write, &one->planned, one->refusals, one->refusal_count,
                                    &run->db->why);
    one->is_transaction = it->write.kind == WRITE_FRESH;
    return status == POPOTO_OK ? popoto__plan_write(&it->write, &one->planned, &run->db->why)
                               : status;
}

/* Once: what is refused is planned. */
static bool render_direct(commit_batch *run, commit *one) {
    item *it = (item *)one;
    shape_script *kept = it->kept;
    if (kept == NULL)
        return false;
    it->kept = NULL;
    it->is_direct = kept->sha[0] != '\0' && !run->db->scripts_by_text &&
                    popoto__kept_render(&it->write, kept, &run->db->request, &it->content);
    one->shaped = it->is_direct ? kept : NULL;
    return it->is_direct;
}

/* A cluster's tenants may be on several nodes, and one alone is not worth telling apart. */
static size_t render_group(commit_batch *run, popoto_text *expected) {
    batch *it = (batch *)run;
    size_t most = 0;
    for (size_t i = 0; i < run->count; i++)
        most += it->items[i].write.kind == WRITE_FRESH && it->items[i].done.state == COMMIT_PLANNED;
    if (most == 0 || popoto__db_is_cluster(it->db))
        return 0;
    buffer *out = &it->db->request;
    size_t size = out->size;
    bool begun = popoto__fresh_begin(&it->group, it->of, most, &it->db->scratch, out);
    for (size_t i = 0; begun && i < run->count; i++) {
        item *one = &it->items[i];
        size_t place = it->group.count;
        if (one->write.kind != WRITE_FRESH || one->done.state != COMMIT_PLANNED ||
            !popoto__fresh_add(&it->group, &one->write))
            continue;
        one->place = place;
        one->done.state = COMMIT_SENT;
        one->done.is_grouped = true;
    }
    size_t replies = begun ? popoto__fresh_end(&it->group, expected) : 0;
    if (replies > 0 && !out->failed)
        return replies;
    /* No memory: each is tried by itself, and says so. */
    out->size = size;
    out->failed = false;
    *expected = (popoto_text){ NULL, 0 };
    for (size_t i = 0; i < run->count; i++)
        if (it->items[i].done.is_grouped) {
            it->items[i].done.is_grouped = false;
            it->items[i].done.state = COMMIT_PLANNED;
        }
    return 0;
}

static bool concerns(const commit_batch *run, const commit *one, size_t index) {
    return popoto__fresh_concerns(&((const batch *)run)->group, index, ((const item *)one)->place);
}

static size_t render_undo(commit_batch *run, commit *one) {
    record_write removal = ((item *)one)->write;
    plan planned;
    removal.kind = WRITE_DELETE;
    removal.old_key = removal.place.key;
    if (popoto__plan_write(&removal, &planned, &run->db->why) != POPOTO_OK)
        return 0;
    return popoto__plan_render_commands(&planned, &run->db->request);
}

/* ----- What the object remembers -------------------------------------------------------------- */

/* 0: not all that the record holds is known. */
static uint64_t content_of(const batch *it, const item *one) {
    const record_write *write = &one->write;
    uint64_t sum = 0;
    if (one->done.is_grouped)
        return popoto__fresh_content(&it->group, one->place);
    if (one->is_direct)
        return one->content;
    for (size_t i = 0; i < it->of->field_count; i++) {
        bool stored_now = popoto__write_stores(write, i);
        if (!stored_now && !write->if_unchanged)
            return 0;
        sum += popoto__content_digest(i, stored_now ? write->encoded[i] : write->stored[i].bytes);
    }
    return sum;
}

/* The object learns its generated keys when its record is stored, or may be. */
static popoto_status set_generated(batch *it, item *one) {
    popoto_status status = POPOTO_OK;
    for (size_t i = 0; one->generated != NULL && i < it->of->key_count && status == POPOTO_OK;
         i++) {
        size_t at = it->of->keys[i];
        if (one->generated[at].text[0] != '\0')
            status = popoto__object_set_generated(it->of, one->object, &it->of->fields[at],
                                                  &one->generated[at], &it->db->why);
    }
    return status;
}

static popoto_status remember(batch *it, item *one) {
    popoto_object *header = popoto__object_header(it->of, one->object);
    if (one->write.kind == WRITE_DELETE) {
        *header = (popoto_object){ 0 };
        return POPOTO_OK;
    }
    popoto_text key = one->write.place.key;
    popoto_status status = set_generated(it, one);
    if (status != POPOTO_OK)
        return status;
    bool stays = one->write.kind == WRITE_REPLACE && !one->write.moves_key;
    if (!stays)
        header->key = popoto__digest(key.data, key.size);
    /* A row stays known by its rows as long as its key is the one they hold. */
    if (!stays || !popoto__db_recalls(it->db, header, key))
        header->origin = popoto__db_remember(it->db, key);
    header->content = content_of(it, one);
    /* The next one like it needs no plan. */
    if (one->done.shaped != NULL && !one->is_direct)
        popoto__kept_note(it->db->kept, &one->write, &one->done.planned, one->done.shaped);
    return POPOTO_OK;
}

static popoto_status finish(batch *it, size_t index) {
    item *one = &it->items[index];
    popoto_status status = one->done.status;
    if (status == POPOTO_OK)
        return remember(it, one);
    return status == POPOTO_UNKNOWN_OUTCOME && set_generated(it, one) != POPOTO_OK
               ? POPOTO_NO_MEMORY
               : status;
}

/* ----- if_unchanged: what is stored now, compared with what was loaded ------------------------- */

static popoto_status take_stored(void *context, size_t index, const reply *answer) {
    batch *it = context;
    record_write *write = &it->items[0].write;
    (void)index;
    if (answer->type == REPLY_ERROR)
        return popoto__reply_failure(answer, "reading a record", &it->db->why);
    if (answer->type != REPLY_ARRAY || answer->count != it->of->field_count)
        return popoto__fail(&it->db->why, POPOTO_BAD_REPLY,
                            "the server answered HMGET with no list of "
                            "the fields asked for");
    for (size_t i = 0; i < it->of->field_count; i++) {
        const reply *one = answer->items[i];
        write->stored[i].known = true;
        write->stored[i].bytes = (popoto_text){ NULL, 0 };
        if (one->type == REPLY_STRING)
            write->stored[i].bytes = (popoto_text){ one->text, one->size };
    }
    return POPOTO_OK;
}

static popoto_status check_unchanged(batch *it) {
    item *one = &it->items[0];
    const popoto_object *header = popoto__object_header(it->of, one->object);
    uint64_t content = 0;
    shown room;
    if (one->write.kind != WRITE_REPLACE || header->content == 0)
        return popoto__fail(
            &it->db->why, POPOTO_BAD_ARGUMENT,
            "if_unchanged: this %s does not know what was stored: it was not loaded "
            "whole, or saved in part",
            it->of->name.data);
    popoto__buffer_clear(&it->db->request);
    popoto__render_fetch(it->of, one->write.old_key, &it->db->request);
    popoto_status status = popoto__db_exchange(it->db, 1, false, &it->db->scratch, take_stored, it);
    if (status != POPOTO_OK)
        return status;
    bool any = false;
    for (size_t i = 0; i < it->of->field_count; i++) {
        any = any || one->write.stored[i].bytes.data != NULL;
        content += popoto__content_digest(i, one->write.stored[i].bytes);
    }
    const char *key = popoto__show(&room, one->write.old_key.data, one->write.old_key.size);
    if (!any)
        return popoto__fail(&it->db->why, POPOTO_NOT_FOUND,
                            "%s is not there: it was deleted, or expired", key);
    if (content != header->content)
        return popoto__fail(&it->db->why, POPOTO_CHANGED,
                            "%s: somebody changed it since this object was loaded", key);
    one->write.if_unchanged = true;
    return POPOTO_OK;
}

/* The tenants of what was stored. */
static void note_tenants(batch *it, size_t count) {
    popoto_text segments[COMMIT_PIPELINE];
    for (size_t i = 0; i < count; i++) {
        const item *one = &it->items[i];
        segments[i] = (popoto_text){ NULL, 0 };
        if (one->done.status == POPOTO_OK)
            segments[i] = one->write.place.segments[it->of->tenant->index];
    }
    popoto__tenants_note(it->db, it->of, segments, count);
}

/* (A key that was generated just now is nobody else's.) */
static bool meets_another(uint64_t *met, const record_write *write) {
    if (met == NULL || write->kind == WRITE_FRESH)
        return false;
    bool found = popoto__commit_meets(met, write->old_key);
    return (write->moves_key && popoto__commit_meets(met, write->place.key)) || found;
}

/* ----- The calls ------------------------------------------------------------------------------ */

/* What it holds of a part of the work is set when that begins. */
static void open_batch(batch *it, popoto_db *db, const model *of) {
    it->db = db;
    it->of = of;
    it->named = it->pinned = NULL;
    it->if_unchanged = false;
    it->random.left = 0;
}

static bool take_memory(batch *it, size_t count) {
    arena *memory = &it->db->scratch;
    size_t fields = count * it->of->field_count;
    it->items = popoto__arena_allocate(memory, count * sizeof *it->items);
    it->values = popoto__arena_allocate(memory, fields * sizeof *it->values);
    it->segments = popoto__arena_allocate(memory, fields * sizeof *it->segments);
    it->ids =
        it->of->has_auto_key ? popoto__arena_allocate(memory, fields * sizeof *it->ids) : NULL;
    it->met = count > 1 ? popoto__arena_zeroed(memory, COMMIT_MET, sizeof *it->met) : NULL;
    return it->items != NULL && it->values != NULL && it->segments != NULL &&
           (it->ids != NULL || !it->of->has_auto_key) && (it->met != NULL || count <= 1) &&
           popoto__scope_pins(it->db, it->of, &it->pinned);
}

static void set_run(batch *it, size_t count, write_kind asked) {
    commit_batch *run = &it->run;
    popoto__commit_init(run, it->db, it->items, count, sizeof *it->items);
    run->doing = asked == WRITE_DELETE ? "deleting a record" : "storing a record";
    run->plan = plan_item;
    run->render_direct = render_direct;
    run->undo = render_undo;
    run->render_group = asked == WRITE_DELETE ? NULL : render_group;
    run->concerns = concerns;
}

/* Plan and send the writes of some objects. The scratch memory is theirs until they are finished. */
static popoto_status begin_batch(batch *it, void *const *objects, size_t count, write_kind asked) {
    size_t fields = it->of->field_count;
    const record_write *last = NULL;
    popoto__arena_reset(&it->db->scratch);
    it->objects = objects;
    it->has_memory = take_memory(it, count);
    set_run(it, count, asked);
    if (!it->has_memory)
        return POPOTO_OK;
    for (size_t i = 0; i < count; i++) {
        item *one = &it->items[i];
        memset(one, 0, it->run.stride); /* by the library's function, whose steps are larger */
        one->object = objects[i];
        one->values = it->values + i * fields;
        one->write.place.segments = it->segments + i * fields;
        memset(one->write.place.segments, 0, fields * sizeof *it->segments);
        one->write.last = last;
        popoto_status status = prepare(it, one, asked);
        if (status == POPOTO_OK && it->if_unchanged)
            status = check_unchanged(it);
        if (status != POPOTO_OK)
            popoto__commit_settle(&it->run, &one->done, status);
        else
            last = &one->write;
        one->done.waits = status == POPOTO_OK && meets_another(it->met, &one->write);
    }
    return popoto__commit_begin(&it->run);
}

/* Wait until all are settled. db->why is that of the first that failed. */
static popoto_status finish_batch(batch *it, write_kind asked, popoto_status *statuses) {
    popoto_db *db = it->db;
    size_t count = it->run.count;
    for (size_t i = 0; !it->has_memory && statuses != NULL && i < count; i++)
        statuses[i] = POPOTO_NO_MEMORY;
    if (!it->has_memory)
        return popoto__fail_memory(&db->why);
    popoto__commit_finish(&it->run);
    if (it->of->tenant != NULL && asked != WRITE_DELETE)
        note_tenants(it, count);
    for (size_t i = 0; i < count; i++) {
        popoto_status status = finish(it, i);
        if (statuses != NULL)
            statuses[i] = status;
        if (status != POPOTO_OK && it->items[i].done.status == POPOTO_OK)
            popoto__commit_note(&it->run, &it->items[i].done, status);
    }
    if (it->run.first.status != POPOTO_OK)
        db->why = it->run.first;
    return it->run.first.status;
}

/* Whether an object is among those of the batch that is under way: what becomes of it there decides what is
 * to be done with it next. */
static bool shares_objects(const batch *it, void *const *objects, size_t count) {
    const char *low = NULL, *high = NULL;
    for (size_t i = 0; i < it->run.count; i++) {
        const char *one = it->objects[i];
        low = i == 0 || one < low ? one : low;
        high = i == 0 || one > high ? one : high;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; (const char *)objects[i] >= low && (const char *)objects[i] <= high &&
                           k < it->run.count;
             k++)
            if (it->objects[k] == objects[i])
                return true;
    return false;
}

/* The writes of one call. */
typedef struct course {
    batch parts[2];
    void *const *objects;
    write_kind asked;
    popoto_status *statuses; /* NULL: nobody asked */
} course;

static popoto_status begin_part(void *context, size_t turn, size_t start, size_t count) {
    course *it = context;
    return begin_batch(&it->parts[turn], it->objects + start, count, it->asked);
}

static popoto_status finish_part(void *context, size_t turn, popoto_status *lost) {
    course *it = context;
    batch *part = &it->parts[turn];
    size_t start = (size_t)(part->objects - it->objects);
    popoto_status status =
        finish_batch(part, it->asked, it->statuses == NULL ? NULL : it->statuses + start);
    *lost = part->run.lost;
    return status;
}

/* What a save or a deletion does depends on those before it, which may be about the same record. */
static bool part_waits(void *context, size_t turn, size_t start, size_t count) {
    course *it = context;
    return it->asked != WRITE_CREATE ||
           shares_objects(&it->parts[turn], it->objects + start, count);
}

/* A part ends before an object that it has already: that is not planned before it is known what became of it. */
static size_t part_length(void *context, size_t start, size_t most) {
    const course *it = context;
    void *const *objects = it->objects + start;
    const char *highest = NULL;
    for (size_t i = 0; i < most; i++) {
        const char *one = objects[i];
        bool rises = one > highest; /* as in most arrays: it cannot have been there */
        for (size_t k = 0; !rises && one != NULL && k < i; k++)
            if (objects[k] == one)
                return i;
        highest = rises ? one : highest;
    }
    return most;
}

static popoto_status write_many(popoto_db *db, const popoto_model *declared, void *const *objects,
                                size_t count, write_kind asked, popoto_status *statuses) {
    const model *of;
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status == POPOTO_OK && objects == NULL && count > 0)
        status =
            popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "objects are needed, and NULL was given");
    for (size_t i = 0; status != POPOTO_OK && statuses != NULL && i < count; i++)
        statuses[i] = status;
    if (status != POPOTO_OK)
        return status;
    course it;
    it.objects = objects;
    it.asked = asked;
    it.statuses = statuses;
    open_batch(&it.parts[0], db, of);
    open_batch(&it.parts[1], db, of);
    commit_parts all = { .db = db,
                         .count = count,
                         .context = &it,
                         .length = part_length,
                         .begin = begin_part,
                         .finish = finish_part,
                         .waits = part_waits };
    for (size_t i = popoto__commit_all(&all); statuses != NULL && i < count; i++)
        statuses[i] = popoto__commit_not_sent(all.lost);
    return all.first.status;
}

popoto_status popoto_create_many(popoto_db *db, const popoto_model *declared, void *const *objects,
                                 size_t count, popoto_status *statuses) {
    return write_many(db, declared, objects, count, WRITE_CREATE, statuses);
}

popoto_status popoto_save_many(popoto_db *db, const popoto_model *declared, void *const *objects,
                               size_t count, popoto_status *statuses) {
    return write_many(db, declared, objects, count, WRITE_STORE, statuses);
}

popoto_status popoto_delete_many(popoto_db *db, const popoto_model *declared, void *const *objects,
                                 size_t count, popoto_status *statuses) {
    return write_many(db, declared, objects, count, WRITE_DELETE, statuses);
}

static popoto_status write_one(popoto_db *db, const popoto_model *declared, void *object,
                               write_kind asked, const popoto_save_desc *desc) {
    bool named[MODEL_MAX_FIELDS];
    batch it;
    const model *of;
    popoto_status status = popoto__db_begin(db, declared, &of);
    open_batch(&it, db, of);
    if (status == POPOTO_OK && desc != NULL && desc->only != NULL) {
        status = popoto__model_choose(of, desc->only, named, POPOTO_BAD_ARGUMENT, &db->why);
        it.named = named;
    }
    it.if_unchanged = desc != NULL && desc->if_unchanged;
    if (status != POPOTO_OK)
        return status;
    (void)begin_batch(&it, &object, 1, asked);
    return finish_batch(&it, asked, NULL);
}

popoto_status popoto_create(popoto_db *db, const popoto_model *declared, void *object) {
    return write_one(db, declared, object, WRITE_CREATE, NULL);
}

popoto_status popoto_save(popoto_db *db, const popoto_model *declared, void *object) {
    return write_one(db, declared, object, WRITE_STORE, NULL);
}

popoto_status popoto_delete(popoto_db *db, const popoto_model *declared, void *object) {
    return write_one(db, declared, object, WRITE_DELETE, NULL);
}

popoto_status popoto_save_with(popoto_db *db, const popoto_model *declared, void *object,
                               const popoto_save_desc *desc) {
    return write_one(db, declared, object, WRITE_STORE, desc);
}

popoto_status popoto_key(popoto_db *db, const popoto_model *declared, const void *object,
                         popoto_text *key) {
    const model *of;
    popoto_value values[MODEL_MAX_FIELDS];
    popoto_text made;
    if (key == NULL)
        return popoto__db_needs(db, "a place for the key");
    *key = (popoto_text){ NULL, 0 };
    popoto_status status = popoto__db_begin(db, declared, &of);
    if (status == POPOTO_OK && object == NULL)
        status =
            popoto__fail(&db->why, POPOTO_BAD_ARGUMENT, "an object is needed, and NULL was given");
    if (status == POPOTO_OK)
        status = popoto__db_values(db, of, object, values);
    if (status == POPOTO_OK)
        status = popoto__key_of_values(of, values, &db->scratch, &made, &db->why);
    return status == POPOTO_OK ? popoto__db_hand_out(db, made, key) : status;
}
