/* Student's t distribution. */
#ifndef ENT_CONTROL_STUDENT_H
#define ENT_CONTROL_STUDENT_H

/* The probability of less than t with so many degrees of freedom (above 0), to about 1e-14; 0.5 for a t of 0. */
double ent_student_cdf(double t, double freedom);

#endif
