/* Student's t distribution. */
#ifndef ENT_CONTROL_STUDENT_H
#define ENT_CONTROL_STUDENT_H

/* Of so many degrees of freedom, above 0. */
typedef struct ent_student {
    double freedom, log_beta; /* ln B(freedom / 2, 1 / 2) */
} ent_student;

ent_student ent_student_of(double freedom);
/* The probability of less than t, to about 1e-14. */
double ent_student_cdf(const ent_student *student, double t);

#endif
